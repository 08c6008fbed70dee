"""Approvals: who decides first wins, and what becomes of it is one transaction (A10, S23), on both stores."""

from dataclasses import replace

import pytest

from amends.persistence.approval_records import ApprovalRow, ApprovalStatus, Closing, NewApproval, Vote
from amends.persistence.database import Database
from amends.persistence.records import AuditRow, Cause, RunChange, Status, Write, Written
from tests.persistence.workers import Clock, Worker, ended, entry

NEW = NewApproval("run:1", "run", 1, "digest", b'{"title":"Pay"}', 1, 1_000_000)
LATER = 2_000_000


@pytest.fixture
def asked(worker: Worker) -> Worker:
    """Give a worker with a run that asks for an approval."""
    ask(worker, NEW)
    return worker


def ask(worker: Worker, new: NewApproval) -> None:
    worker.start(new.run_id)
    worker.claim()
    turn = Write(new.run_id, worker.epoch, entries=(entry(new.run_id, 1),), asks=(new,))
    assert worker.write(turn).written is Written.DONE


def vote(by: str = "ann", *, approved: bool = True, values: str = "same", digest: str = "digest") -> Write:
    payload = b'{"values":null,"reason":"why"}'
    given = Vote("run:1", by, approved, "api", 1_000_001, digest, values, payload)
    return Write("run", vote=given, audit=(AuditRow("run", 1_000_001, by, "approve"),))


def closing(worker: Worker, status: ApprovalStatus, mail: int | None = None) -> Write:
    return Write(
        "run",
        worker.epoch,
        entries=(entry("run", 2),),
        closes=(Closing("run:1", status, LATER),),
        mail=mail,
    )


def found(database: Database) -> ApprovalRow:
    (row,) = database.approvals(id="run:1")
    return row


def test_a_vote_closes_its_approval_and_tells_the_run(asked: Worker, database: Database) -> None:
    """S23: vote, approval, message and audit line are one transaction."""
    assert asked.write(vote()).written is Written.DONE
    row = found(database)
    assert (row.status, row.decided_by, row.decided_at) == (ApprovalStatus.APPROVED, "ann", 1_000_001)
    assert row.decision == b'{"values":null,"reason":"why"}'
    assert [(each.by, each.approved, each.how) for each in row.votes] == [("ann", True, "api")]
    (message,) = database.unread("ann")
    assert (message.kind, message.key, message.payload) == ("decided", "decided:run:1", row.decision)
    assert [line.actor for line in database.audit("run")] == ["ann"]


def test_of_the_votes_of_one_batch_the_first_counts(asked: Worker, database: Database) -> None:
    """A10: a decision is consumed once."""
    votes = [vote(f"p{n}", approved=n > 0) for n in range(5)]
    receipts = asked.write_together(votes)
    assert [receipt.written for receipt in receipts] == [Written.DONE, *[Written.CLOSED] * 4]
    assert {receipt.reason for receipt in receipts[1:]} == {"it is rejected already"}
    assert [each.by for each in found(database).votes] == ["p0"]
    assert [line.actor for line in database.audit("run")] == ["p0"]
    assert len(database.unread("ann")) == 1


def test_a_quorum_is_reached_in_one_batch(worker: Worker, database: Database) -> None:
    """A10: by different people, who approve the same."""
    ask(worker, replace(NEW, quorum=3))
    votes = [vote("a"), vote("a"), vote("b", values="others"), vote("b"), vote("c"), vote("d")]
    receipts = worker.write_together(votes)
    assert [receipt.reason for receipt in receipts] == [
        "",
        "a has approved it already",
        "a approved other values; everybody has to approve the same",
        "",
        "",
        "it is approved already",
    ]
    assert [each.by for each in found(database).votes] == ["a", "b", "c"]


def test_what_was_not_shown_is_not_approved(asked: Worker, database: Database) -> None:
    """A10: a decision is bound to what was shown."""
    assert "isn't what is to be approved" in asked.write(vote(digest="another")).reason
    assert found(database).votes == ()
    assert database.audit("run") == []


def test_an_approval_that_is_not_there_takes_no_vote(asked: Worker, database: Database) -> None:
    stray = vote()
    stray.vote = replace(stray.vote, approval_id="run:9") if stray.vote else None
    receipt = asked.write(stray)
    assert (receipt.written, receipt.reason) == (Written.CLOSED, "there is no such approval")
    assert database.audit("run") == []


def test_time_is_over_by_the_databases_clock(worker: Worker, database: Database, clock: Clock) -> None:
    """A10: what has expired isn't approved."""
    ask(worker, replace(NEW, expires_at=clock.now + 10))
    clock.move(10)
    assert worker.write(vote()).reason == "its time is over"
    assert found(database).status is ApprovalStatus.PENDING


@pytest.mark.parametrize("kind", ["cancel", "operator"])
def test_an_act_that_is_not_taken_keeps_votes_off(asked: Worker, database: Database, kind: str) -> None:
    asked.put("run", "key", kind=kind)
    assert "look again" in asked.write(vote()).reason
    taking = Write("run", asked.epoch, entries=(entry("run", 2),), taken=(1,))
    asked.write(taking)
    assert asked.write(vote()).written is Written.DONE


def test_a_run_that_turned_round_takes_no_vote(asked: Worker) -> None:
    asked.change("run", RunChange(Status.COMPENSATING, Cause.ERROR))
    assert asked.write(vote()).reason == "its run is compensating, and waits for it no more"


def test_a_run_that_has_ended_takes_no_vote(asked: Worker) -> None:
    asked.change("run", ended())
    assert asked.write(vote()).reason == "its run is completed, and waits for it no more"


def test_a_parked_run_takes_one(asked: Worker, database: Database) -> None:
    """It goes forward once somebody has seen to it, and finds the decision then."""
    asked.change("run", RunChange(Status.PARKED, release=True))
    assert asked.write(vote()).written is Written.DONE
    assert found(database).status is ApprovalStatus.APPROVED


def test_an_expiry_loses_to_a_vote_that_came_first(asked: Worker, database: Database) -> None:
    receipts = asked.write_together([vote(), closing(asked, ApprovalStatus.EXPIRED, mail=0)])
    assert [receipt.written for receipt in receipts] == [Written.DONE, Written.BEATEN]
    assert found(database).status is ApprovalStatus.APPROVED


def test_a_vote_loses_to_an_expiry_that_came_first(asked: Worker, database: Database) -> None:
    receipts = asked.write_together([closing(asked, ApprovalStatus.EXPIRED, mail=0), vote()])
    assert [receipt.written for receipt in receipts] == [Written.DONE, Written.CLOSED]
    assert receipts[1].reason == "it is expired already"
    row = found(database)
    assert (row.status, row.decided_by, row.votes) == (ApprovalStatus.EXPIRED, None, ())


def test_what_is_decided_is_not_withdrawn(asked: Worker, database: Database) -> None:
    asked.write(vote())
    assert asked.write(closing(asked, ApprovalStatus.WITHDRAWN)).written is Written.DONE
    assert found(database).status is ApprovalStatus.APPROVED


def test_a_fenced_worker_asks_nobody(worker: Worker, database: Database) -> None:
    """S18."""
    worker.start("run")
    worker.claim()
    stale = Write("run", worker.epoch - 1, entries=(entry("run", 1),), asks=(NEW,))
    assert worker.write(stale).written is Written.FENCED
    assert database.approvals() == []
