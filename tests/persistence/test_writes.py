"""What becomes of single writes, on both stores."""

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import event
from sqlalchemy.engine import Engine

from amends.persistence.database import Database
from amends.persistence.records import (
    AuditRow,
    Cause,
    InboxRow,
    NewRun,
    Receipt,
    RunChange,
    Status,
    Tell,
    Wake,
    Write,
    Written,
)
from tests.persistence.workers import Clock, Worker, ended, entry, new_run


def test_an_unowned_start_is_ready_for_anybody(worker: Worker, database: Database) -> None:
    """S17: nothing but the id makes a run; it is due at once."""
    start = NewRun("a", "order", "1", b'{"n":1}', 500, deadline_at=9_000, queue="slow")
    assert worker.write(Write("a", start=start)).written is Written.DONE
    run = database.run("a")
    assert run is not None
    assert (run.status, run.owner, run.due_at, run.created_at) == (Status.OPEN, None, 500, 500)
    assert (run.input, run.deadline_at, run.queue, run.mail, run.lost) == (b'{"n":1}', 9_000, "slow", 0, 0)


def test_a_start_under_a_lease_is_owned_by_the_worker(worker: Worker, database: Database) -> None:
    worker.write(Write("a", worker.epoch, start=new_run("a"), entries=(entry("a", 1),)))
    run = database.run("a")
    assert run is not None
    assert run.owner == "ann"
    assert [row.seq for row in database.journal("a")] == [1]


def test_a_start_that_goes_to_sleep_at_once_has_no_owner(worker: Worker, database: Database) -> None:
    change = RunChange(Status.OPEN, due_at=77_000, release=True)
    worker.write(Write("a", worker.epoch, start=new_run("a"), entries=(entry("a", 1),), change=change))
    run = database.run("a")
    assert run is not None
    assert (run.owner, run.due_at) == (None, 77_000)


def test_a_start_that_ends_in_its_first_turn_has_ended(worker: Worker, database: Database) -> None:
    """S24: an empty saga completes at once."""
    worker.write(Write("a", worker.epoch, start=new_run("a"), change=ended()))
    run = database.run("a")
    assert run is not None
    assert (run.status, run.result, run.ended_at, run.owner, run.due_at) == (
        Status.COMPLETED,
        b"42",
        2_000,
        None,
        None,
    )


def test_a_second_start_writes_nothing(worker: Worker, database: Database) -> None:
    """S17: the id is unique; the loser's rows are left out."""
    worker.start("a")
    late = Write("a", worker.epoch, start=new_run("a", data=b"[]"), entries=(entry("a", 1),))
    assert worker.write(late).written is Written.TAKEN
    assert database.journal("a") == []
    run = database.run("a")
    assert run is not None
    assert (run.owner, run.input) == (None, b"{}")


def test_of_two_starts_in_one_batch_the_first_wins(worker: Worker, database: Database) -> None:
    """S17."""
    writes = [Write("a", start=new_run("a", data=data)) for data in (b"1", b"2", b"3")]
    assert [receipt.written for receipt in worker.write_together(writes)] == [
        Written.DONE,
        Written.TAKEN,
        Written.TAKEN,
    ]
    run = database.run("a")
    assert run is not None
    assert run.input == b"1"


def test_entries_are_read_as_they_were_written(worker: Worker, database: Database) -> None:
    worker.start("a")
    worker.claim()
    rows = (entry("a", 1, b"\x00\xff payload"), entry("a", 2, None))
    worker.write(Write("a", worker.epoch, entries=rows))
    assert tuple(database.journal("a")) == rows


def test_only_an_owner_writes_a_journal(worker: Worker) -> None:
    """S18: a write to a journal carries a lease."""
    with pytest.raises(ValueError, match="owner"):
        worker.write(Write("a", entries=(entry("a", 1),)))


def test_a_message_is_put_once(worker: Worker, database: Database) -> None:
    worker.start("a")
    worker.claim()
    assert worker.put("a", "k1") is Written.DONE
    assert worker.put("a", "k1") is Written.DONE
    assert worker.put("a", "k2") is Written.DONE
    assert [(row.number, row.key, row.payload) for row in database.unread("ann")] == [
        (1, "k1", b"k1"),
        (2, "k2", b"k2"),
    ]
    assert database.unread("ann", {"a": 1})[0].key == "k2"
    run = database.run("a")
    assert run is not None
    assert run.mail == 2


def test_messages_of_one_batch_are_numbered_in_order(worker: Worker, database: Database) -> None:
    worker.start("a", "b")
    worker.claim()
    keys = ["x", "y", "x", "z"]
    writes = [Write(i, inbox=InboxRow(i, key, "signal", 1)) for key in keys for i in ("a", "b")]
    assert {receipt.written for receipt in worker.write_together(writes)} == {Written.DONE}
    found = [(row.run_id, row.number, row.key) for row in database.unread("ann")]
    assert found == [(i, n, key) for i in ("a", "b") for n, key in enumerate("xyz", 1)]


def test_a_message_for_nobody_and_one_too_late_are_said_to_be(worker: Worker) -> None:
    """S16: cancel after the end is refused."""
    assert worker.put("nobody", "k") is Written.UNKNOWN_RUN
    worker.start("a")
    worker.claim()
    assert worker.put("a", "early") is Written.DONE
    worker.change("a", ended())
    assert worker.put("a", "late") is Written.ENDED
    assert worker.put("a", "early") is Written.DONE


def test_a_message_wakes_a_sleeping_run(worker: Worker, database: Database, clock: Clock) -> None:
    worker.start("a")
    worker.claim()
    worker.change("a", RunChange(Status.OPEN, due_at=clock.now + 3_600_000, release=True))
    assert worker.claim() == []
    worker.put("a", "k")
    (loaded,) = worker.claim()
    assert [row.key for row in loaded.inbox] == ["k"]


def test_taken_messages_are_unread_no_more(worker: Worker, database: Database) -> None:
    worker.start("a")
    worker.claim()
    worker.put("a", "k1")
    worker.put("a", "k2")
    worker.write(Write("a", worker.epoch, entries=(entry("a", 1),), taken=(1,)))
    assert [row.number for row in database.unread("ann")] == [2]
    loaded = database.load("a")
    assert loaded is not None
    assert [row.number for row in loaded.inbox] == [2]


def test_a_message_and_a_turn_to_another_run_are_one_write(worker: Worker, database: Database) -> None:
    """S19: a child's end and the news of it are one; a parent that is gone doesn't hinder it."""
    worker.start("parent", "child", "orphan")
    worker.claim()
    for child, parent in (("child", "parent"), ("orphan", "nobody")):
        news = Tell(InboxRow(parent, f"end of {child}", "child", 1))
        assert worker.write(Write(child, worker.epoch, change=ended(), tells=(news,))).written is Written.DONE
    assert [row.key for row in database.unread("ann")] == ["end of child"]
    assert {run.id for run in database.ended(["child", "orphan", "parent"])} == {"child", "orphan"}


def test_an_end_loses_to_an_unread_message(worker: Worker, database: Database) -> None:
    """S16: nothing of the beaten end is written."""
    worker.start("a")
    worker.claim()
    worker.put("a", "cancel")
    end = Write("a", worker.epoch, entries=(entry("a", 1),), change=ended(), mail=0)
    assert worker.write(end).written is Written.BEATEN
    assert database.journal("a") == []
    assert worker.change("a", ended(), mail=1) is Written.DONE


@pytest.mark.parametrize(
    ("kinds", "fate"),
    [
        (["signal", "signal"], Written.DONE),
        (["cancel", "signal"], Written.BEATEN),
        (["signal", "cancel", "signal"], Written.BEATEN),
    ],
)
@pytest.mark.parametrize("together", [False, True], ids=["before", "in the same batch"])
def test_an_end_overlooks_the_kinds_of_mail_that_it_names(
    worker: Worker, database: Database, kinds: list[str], fate: Written, *, together: bool
) -> None:
    """S16: what an end loses to is found behind what it doesn't lose to."""
    worker.start("a")
    worker.claim()
    worker.write(Write("a", inbox=InboxRow("a", "known", "cancel", 1)))
    mail = [Write("a", inbox=InboxRow("a", f"m{n}", kind, 1)) for n, kind in enumerate(kinds)]
    end = Write("a", worker.epoch, change=ended(), mail=1, despite=("signal",))
    batches = [[*mail, end]] if together else [[one] for one in (*mail, end)]
    receipts = [receipt for batch in batches for receipt in worker.write_together(batch)]
    assert [receipt.written for receipt in receipts] == [*[Written.DONE] * len(mail), fate]
    assert len(database.ended(["a"])) == (fate is Written.DONE)


def test_end_and_cancel_in_one_batch_are_decided_in_their_order(worker: Worker, database: Database) -> None:
    """S16, both orders."""
    worker.start("a", "b")
    worker.claim()
    ends = {i: Write(i, worker.epoch, change=ended(), mail=0) for i in ("a", "b")}
    cancels = {i: Write(i, inbox=InboxRow(i, "cancel", "cancel", 1)) for i in ("a", "b")}
    receipts = worker.write_together([ends["a"], cancels["a"], cancels["b"], ends["b"]])
    assert [receipt.written for receipt in receipts] == [
        Written.DONE,
        Written.ENDED,
        Written.DONE,
        Written.BEATEN,
    ]
    assert [run.id for run in database.ended(["a", "b"])] == ["a"]


def test_a_change_writes_the_row_whole(worker: Worker, database: Database) -> None:
    worker.start("a")
    worker.claim()
    worker.change("a", RunChange(Status.COMPENSATING, Cause.CANCEL, error=b"why", due_at=5, needs="undo@1"))
    run = database.run("a")
    assert run is not None
    assert (run.status, run.cause, run.error, run.needs) == (
        Status.COMPENSATING,
        Cause.CANCEL,
        b"why",
        "undo@1",
    )
    assert run.owner == "ann"
    worker.change("a", RunChange(Status.COMPENSATING))
    run = database.run("a")
    assert run is not None
    assert (run.cause, run.error, run.needs, run.owner) == (None, None, None, "ann")


def test_a_parked_run_is_woken_by_who_asks_for_it(worker: Worker, database: Database) -> None:
    worker.start("a", "b")
    worker.claim()
    worker.change("a", RunChange(Status.PARKED, needs="x@1", release=True))
    worker.change("b", RunChange(Status.PARKED, Cause.ERROR, release=True))
    worker.put("a", "just a word")
    assert [run.id for run in database.runs(status=Status.PARKED)] == ["b", "a"]
    worker.put("a", "retry", wake=Wake.CANCEL)
    worker.put("b", "retry", wake=Wake.CANCEL)
    assert [run.id for run in database.runs(status=Status.PARKED)] == ["b"]
    assert [loaded.run.id for loaded in worker.claim()] == ["a"]


def test_late_evidence_reopens_an_end_but_not_a_completed_one(worker: Worker, database: Database) -> None:
    """S5: evidence that an effect landed after its run's end brings the run back to compensating."""
    worker.start("a", "b")
    worker.claim()
    worker.change("a", RunChange(Status.CANCELLED, Cause.CANCEL, ended_at=5))
    worker.change("b", ended())
    assert worker.put("a", "landed", wake=Wake.EVIDENCE) is Written.DONE
    assert worker.put("b", "landed", wake=Wake.EVIDENCE) is Written.ENDED
    (loaded,) = worker.claim()
    assert (loaded.run.id, loaded.run.status, loaded.run.ended_at) == ("a", Status.COMPENSATING, None)


def test_what_comes_too_late_for_the_inbox_is_audited_by_the_same_write(
    worker: Worker, database: Database
) -> None:
    """S5, S23: never dropped, whatever becomes of who tells it."""
    worker.start("a", "b")
    worker.claim()
    worker.change("a", ended())
    line = {each: AuditRow(each, 3, "bob", "late outcome") for each in ("a", "b")}
    receipts = [
        worker.write(Write(each, inbox=InboxRow(each, "late", "late", 3), too_late=(line[each],))).written
        for each in ("a", "b")
    ]
    assert receipts == [Written.ENDED, Written.DONE]
    assert database.audit("a") == [line["a"]]
    assert database.audit("b") == []


def test_a_write_without_its_run_is_refused(worker: Worker) -> None:
    receipt = worker.write(Write("nobody", worker.epoch, change=ended()))
    assert receipt == Receipt(Written.REFUSED, "there is no run 'nobody'")


def test_the_audit_trail_is_part_of_the_write(worker: Worker, database: Database) -> None:
    """S23."""
    worker.start("a")
    row = InboxRow("a", "skip", "skip", 1)
    trail = (AuditRow("a", 1, "eve", "skip", "because"), AuditRow("a", 2, "eve", "resume"))
    worker.write(Write("a", inbox=row, audit=trail))
    assert tuple(database.audit("a")) == trail


def test_statements_of_a_batch_do_not_depend_on_its_size(
    worker: Worker, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies: list[object] = []
    copy = psycopg.Cursor.copy

    def counted(cursor: psycopg.Cursor[tuple[object, ...]], statement: sql.Composed) -> object:
        copies.append(statement)
        return copy(cursor, statement)

    monkeypatch.setattr(psycopg.Cursor, "copy", counted)
    few, many = _statements(worker, database, 2), _statements(worker, database, 200)
    assert few == many
    assert 0 < few <= 20
    assert len(copies) in {0, 2 * 3}


def _statements(worker: Worker, database: Database, size: int) -> int:
    """Count the statements of one batch that holds `size` writes of every kind."""
    new, old, asleep = ([f"{kind}-{size}-{n}" for n in range(size)] for kind in ("new", "old", "asleep"))
    worker.start(*old, *asleep)
    worker.claim()
    epoch = worker.epoch
    writes = [Write(i, epoch, start=new_run(i), entries=(entry(i, 1),)) for i in new]
    writes += [Write(i, inbox=InboxRow(i, "k", "signal", 1)) for i in new]
    writes += [Write(i, epoch, entries=(entry(i, 1),), change=ended(), mail=0) for i in old]
    nap = RunChange(Status.OPEN, due_at=1, release=True)
    writes += [Write(i, epoch, entries=(entry(i, 1),), taken=(1,), change=nap) for i in asleep]
    writes += [Write(i, audit=(AuditRow(i, 1, "eve", "look"),)) for i in old]
    statements = 0

    def count(*_args: object) -> None:
        nonlocal statements
        statements += 1

    event.listen(Engine, "before_cursor_execute", count)
    try:
        receipts = worker.write_together(writes)
    finally:
        event.remove(Engine, "before_cursor_execute", count)
    assert {receipt.written for receipt in receipts} == {Written.DONE}
    assert database.run(new[0]) is not None
    return statements
