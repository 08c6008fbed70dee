"""What one run's turn writes for others: child runs that start with it, and messages, on both stores."""

from dataclasses import replace

from amends.persistence.database import Database
from amends.persistence.records import (
    Cause,
    InboxRow,
    NewRun,
    RunChange,
    RunRow,
    Status,
    Tell,
    Wake,
    Write,
    Written,
)
from tests.persistence.test_reads import Squeeze
from tests.persistence.workers import Clock, Worker, ended, entry, log, new_run


def child(run_id: str, parent: str = "parent", ref: int = 1) -> NewRun:
    return replace(new_run(run_id), parent=parent, parent_ref=ref, root="root", no_pivot="a savepoint")


def told(run_id: str, key: str, wake: Wake = Wake.NONE) -> Tell:
    return Tell(InboxRow(run_id, key, "child", 1, payload=key.encode()), wake)


def row(database: Database, run_id: str) -> RunRow:
    found = database.run(run_id)
    assert found is not None
    return found


def test_children_start_with_the_turn_that_asks_for_them(worker: Worker, database: Database) -> None:
    """S1, S19: intent and child are one write; anybody may claim them."""
    worker.start("parent")
    worker.claim()
    turn = Write(
        "parent", worker.epoch, entries=(entry("parent", 1),), starts=(child("p/1"), child("p/2", ref=2))
    )
    assert worker.write(turn).written is Written.DONE
    found = row(database, "p/2")
    assert (found.parent, found.parent_ref, found.root, found.no_pivot) == (
        "parent",
        2,
        "root",
        "a savepoint",
    )
    assert [run.id for run in database.runs(parent="parent")] == ["p/2", "p/1"]
    assert {loaded.run.id for loaded in worker.claim()} == {"p/1", "p/2"}


def test_a_run_may_start_with_its_children(worker: Worker, database: Database) -> None:
    start = Write("parent", worker.epoch, start=new_run("parent"), starts=(child("p/1"),))
    assert worker.write(start).written is Written.DONE
    assert row(database, "parent").owner == "ann"
    assert row(database, "p/1").owner is None


def test_a_turn_whose_child_has_a_taken_id_writes_nothing(worker: Worker, database: Database) -> None:
    """S17: neither its entries nor its other child."""
    worker.start("parent", "p/1")
    worker.claim()
    turn = Write("parent", worker.epoch, entries=(entry("parent", 1),), starts=(child("p/0"), child("p/1")))
    receipt = worker.write(turn)
    assert receipt.written is Written.REFUSED
    assert "'p/1'" in receipt.reason
    assert database.journal("parent") == []
    assert database.run("p/0") is None
    assert row(database, "p/1").parent is None


def test_a_beaten_turn_starts_no_child(worker: Worker, database: Database) -> None:
    """S16, S19: nothing of it is written."""
    worker.start("parent")
    worker.claim()
    worker.put("parent", "cancel")
    turn = Write("parent", worker.epoch, change=RunChange(Status.OPEN), mail=0, starts=(child("p/1"),))
    assert worker.write(turn).written is Written.BEATEN
    assert database.run("p/1") is None


def test_what_a_fenced_worker_tells_is_not_told(worker: Worker, database: Database) -> None:
    """S18."""
    worker.start("parent", "other")
    stale = Write("parent", worker.epoch - 1, entries=(entry("parent", 1),), tells=(told("other", "news"),))
    assert worker.write(stale).written is Written.FENCED
    assert row(database, "other").mail == 0


def test_a_message_is_told_once(worker: Worker, database: Database) -> None:
    worker.start("parent", "other")
    worker.claim()
    for seq in (1, 2):
        turn = Write("parent", worker.epoch, entries=(entry("parent", seq),), tells=(told("other", "news"),))
        assert worker.write(turn).written is Written.DONE
    assert [message.key for message in database.unread("ann")] == ["news"]


def test_a_parent_wakes_its_child_however_it_ended(worker: Worker, database: Database) -> None:
    """S19: whoever is to be undone answers, also where nothing is left to undo."""
    worker.start("parent", "a", "b", "c")
    worker.claim()
    worker.change("a", ended())
    worker.change("b", RunChange(Status.COMPENSATED, Cause.CANCEL, ended_at=5))
    worker.change("c", RunChange(Status.PARKED, Cause.ERROR, release=True))
    wishes = tuple(told(each, "undo", Wake.PARENT) for each in "abc")
    worker.write(Write("parent", worker.epoch, entries=(entry("parent", 1),), tells=wishes))
    assert {row(database, each).status for each in "abc"} == {Status.COMPENSATING}
    assert {loaded.run.id for loaded in worker.claim()} == {"a", "b", "c"}


def test_a_child_that_goes_on_wakes_its_parked_parent(worker: Worker, database: Database) -> None:
    """S19: whichever way the parent was going."""
    worker.start("child", "a", "b")
    worker.claim()
    worker.change("a", RunChange(Status.PARKED, release=True))
    worker.change("b", RunChange(Status.PARKED, Cause.ERROR, release=True))
    going = tuple(told(each, "resumed", Wake.CHILD) for each in "ab")
    worker.write(Write("child", worker.epoch, entries=(entry("child", 1),), tells=going))
    assert [row(database, each).status for each in "ab"] == [Status.OPEN, Status.COMPENSATING]


def test_what_goes_to_other_runs_passes_the_codec(database_url: str, clock: Clock) -> None:
    with log(database_url, clock=clock, codec=Squeeze()) as database:
        worker = Worker(database, "ann")
        worker.start("parent", "other")
        worker.claim()
        turn = Write(
            "parent",
            worker.epoch,
            entries=(entry("parent", 1),),
            starts=(replace(child("p/1"), input=b"[1]"),),
            tells=(told("other", "news"),),
        )
        worker.write(turn)
        assert row(database, "p/1").input == b"[1]"
        loaded = database.load("other")
        assert loaded is not None
        assert loaded.inbox[0].payload == b"news"
        with log(database_url) as plain:
            assert row(plain, "p/1").input.startswith(b"z")
