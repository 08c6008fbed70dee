"""The fence: a worker that was taken for dead writes nothing more under its old lease."""

import threading
import time

import pytest
from sqlalchemy import delete, update

from amends.persistence.database import Database
from amends.persistence.errors import WorkerNameTaken, WriterClosed
from amends.persistence.records import InboxRow, RunChange, Status, Write, Written
from tests.persistence.workers import (
    LEASE_MS,
    Clock,
    Worker,
    ended,
    entry,
    log,
    new_run,
)


def test_a_lost_lease_refuses_the_batch(worker: Worker, database: Database, clock: Clock) -> None:
    """S18: after the take-over nothing of the old owner's batch is in the tables, what needs no lease is."""
    worker.start("a", "b")
    worker.claim()
    epoch = worker.epoch
    ben = Worker(database, "ben")
    with worker.held_up():
        clock.move(LEASE_MS + 1)
        assert ben.look_after_dead() == 2
        turn = worker.submit(Write("a", epoch, entries=(entry("a", 1),), change=ended()))
        start = worker.submit(Write("c", epoch, start=new_run("c")))
        message = worker.submit(Write("a", inbox=InboxRow("a", "k", "late", 1)))
    assert turn().written is Written.FENCED
    assert start().written is Written.FENCED
    assert message().written is Written.DONE
    assert database.journal("a") == []
    assert database.run("c") is None
    run = database.run("a")
    assert run is not None
    assert (run.status, run.owner, run.lost, run.due_at) == (Status.OPEN, None, 1, clock.now)


def test_a_worker_that_lost_its_lease_works_on_under_a_higher_epoch(
    worker: Worker, database: Database, clock: Clock
) -> None:
    """S18: what it claimed before stays refused."""
    worker.start("a")
    worker.claim()
    before = worker.epoch
    ben = Worker(database, "ben")
    with worker.held_up():
        clock.move(LEASE_MS + 1)
        ben.look_after_dead()
    (again,) = worker.claim()
    assert worker.lost.acquire(timeout=10)
    assert not worker.lost.acquire(blocking=False)
    assert again.epoch == worker.epoch > before
    stale = Write("a", before, entries=(entry("a", 1),))
    assert worker.write(stale).written is Written.FENCED
    assert worker.enter("a", 1) is Written.DONE


def test_a_database_that_has_lost_a_batch_refuses_what_follows_it(
    worker: Worker, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """S18: after a fail-over to a standby that lacks it, or from a backup."""
    worker.start("a")
    worker.claim()
    worker.enter("a", 1)
    with database.engine.begin() as connection:
        tables = database._backend.tables  # noqa: SLF001 - no other way leads there
        connection.execute(delete(tables.journal))
        connection.execute(update(tables.workers).values(batch=tables.workers.c.batch - 1))
    assert worker.enter("a", 2) is Written.FENCED
    assert database.journal("a") == []
    assert worker.lost.acquire(timeout=10)
    assert "has lost what it had acknowledged" in caplog.text
    worker.claim()
    assert worker.enter("a", 1) is Written.DONE
    assert [row.seq for row in database.journal("a")] == [1]


def test_a_worker_that_writes_keeps_its_lease(worker: Worker, database: Database, clock: Clock) -> None:
    worker.start("a")
    worker.claim()
    ben = Worker(database, "ben")
    for seq in range(1, 4):
        clock.move(LEASE_MS - 1)
        ben.put("a", f"k{seq}")
        assert worker.enter("a", seq) is Written.DONE
        assert ben.look_after_dead() == 0


def test_an_idle_worker_renews_its_lease(database_url: str) -> None:
    """A worker with nothing to write beats: a blocked application doesn't stop it."""
    with log(database_url, lease_ms=600) as database:
        ann = Worker(database, "ann")
        first = ann.writer.renewed
        ann.start("a")
        ann.claim()
        waited = threading.Event()
        for _ in range(200):
            if ann.writer.renewed > first + 1.2:
                break
            waited.wait(0.05)
        ben = Worker(database, "ben")
        assert ben.look_after_dead() == 0
        assert ann.enter("a", 1) is Written.DONE


def test_a_clock_that_was_just_set_ends_nobodys_lease(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L1: the others haven't renewed theirs since, so the end of a lease says nothing about its worker."""
    with log(sqlite_url, lease_ms=60_000) as database:
        ann, ben = Worker(database, "ann"), Worker(database, "ben")
        ann.start("a")
        ann.claim()
        right = time.time_ns
        monkeypatch.setattr(time, "time_ns", lambda: right() + 7_200_000_000_000)
        assert ben.look_after_dead() == 0
        assert ann.enter("a", 1) is Written.DONE


def test_closing_gives_lease_and_runs_back(worker: Worker, database: Database, clock: Clock) -> None:
    """A run that is still held then counts as lost: nobody knows what became of it."""
    worker.start("a")
    worker.claim()
    last = worker.submit(Write("a", worker.epoch, entries=(entry("a", 1),)))
    assert worker.writer.close()
    assert last().written is Written.DONE
    assert database.workers() == []
    run = database.run("a")
    assert run is not None
    assert (run.owner, run.lost, run.due_at) == (None, 1, clock.now)


def test_a_closed_writer_says_so(worker: Worker) -> None:
    worker.writer.close()
    with pytest.raises(WriterClosed):
        worker.start("a")


def test_a_dead_worker_is_handed_on_once(worker: Worker, database: Database, clock: Clock) -> None:
    worker.start("a", "b", "c")
    worker.claim()
    heirs = [Worker(database, name) for name in ("ben", "cat")]
    with worker.held_up():
        clock.move(LEASE_MS + 1)
        for heir in heirs:
            heir.put("a", heir.name or "")
        counts = [heir.ask_for_the_dead() for heir in heirs]
        assert sorted(count() for count in counts) == [0, 3]
        assert [row.id for row in database.workers()] == ["ben", "cat"]


def test_rows_of_workers_long_dead_are_forgotten(worker: Worker, database: Database, clock: Clock) -> None:
    ben = Worker(database, "ben")
    with worker.held_up():
        clock.move(LEASE_MS + 1)
        ben.look_after_dead()
        clock.move(86_400_001)
        ben.put("nobody", "renews the lease")
        ben.look_after_dead()
        assert _rows(database) == ["ben"]


def test_epochs_rise_even_where_the_row_was_deleted(worker: Worker, database: Database, clock: Clock) -> None:
    """S18: a process frozen for days finds no lease of its name that looks like its own."""
    first = worker.epoch
    worker.writer.close()
    clock.move(1)
    assert Worker(database, "ann").epoch > first


def test_a_worker_of_the_same_name_inherits_nothing(database_url: str, clock: Clock) -> None:
    """What the former process of this name held goes back, and counts as lost."""
    with log(database_url, clock=clock) as database:
        ann = Worker(database, "ann")
        ann.start("a")
        ann.claim()
        if database_url.startswith("sqlite"):
            with pytest.raises(WorkerNameTaken):
                Worker(database, "ann")
        else:
            again = Worker(database, "ann")
            (loaded,) = again.claim()
            assert loaded.run.lost == 1
            assert ann.enter("a", 1) is Written.FENCED


def test_a_writer_without_a_worker_writes_and_claims_nothing(database: Database) -> None:
    web = Worker(database, None)
    web.start("a")
    assert web.put("a", "k") is Written.DONE
    assert database.workers() == []
    with pytest.raises(ValueError, match="claims nothing"):
        web.claim(1)


def test_a_released_run_wakes_others_at_once(worker: Worker, database: Database) -> None:
    ben = Worker(database, "ben")
    worker.start("a")
    worker.claim()
    worker.change("a", RunChange(Status.OPEN, due_at=1, release=True))
    assert ben.news.acquire(timeout=10)
    assert [each.run.id for each in ben.claim()] == ["a"]


def _rows(database: Database) -> list[str]:
    tables = database._backend.tables  # noqa: SLF001 - the dead aren't shown otherwise
    with database.engine.connect() as connection:
        return sorted(connection.execute(tables.workers.select()).scalars())
