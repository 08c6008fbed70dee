"""What stands in the log and needs somebody, and who is told of commits."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from amends.persistence.database import Database
from amends.persistence.records import Cause, RunChange, Status, Write, Written
from amends.persistence.standing import Standing
from tests.persistence.test_changes import explained
from tests.persistence.workers import LEASE_MS, Clock, Worker, ended, log, new_run


@dataclass
class Noting:
    """Notes what it is told, and raises where it is to."""

    commits: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    claims: list[int] = field(default_factory=list)
    lost: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    raises: bool = False

    def committed(self, writes: int, seconds: float) -> None:
        self.commits.append(writes)
        self.seconds.append(seconds)
        self._fail()

    def claimed(self, runs: int) -> None:
        self.claims.append(runs)
        self._fail()

    def lease_lost(self) -> None:
        self.lost.release()
        self._fail()

    def _fail(self) -> None:
        if self.raises:
            raise RuntimeError("no instrument")


def put(worker: Worker, run_id: str, change: RunChange) -> None:
    written = worker.write(Write(run_id, worker.epoch, start=new_run(run_id)))
    assert written.written is Written.DONE
    assert worker.write(Write(run_id, worker.epoch, change=change)).written is Written.DONE


def test_an_empty_log_needs_nobody(database: Database) -> None:
    assert database.standing() == Standing(0, 0, 0, None)


def test_what_has_turned_round_is_owed_until_it_has_ended(worker: Worker, database: Database) -> None:
    """Runs that compensate, and those parked while they do; not those parked on their way forward."""
    put(worker, "open", RunChange(Status.OPEN))
    put(worker, "undoing", RunChange(Status.COMPENSATING, Cause.ERROR))
    put(worker, "stuck", RunChange(Status.PARKED, Cause.CANCEL, release=True))
    put(worker, "poison", RunChange(Status.PARKED, release=True))
    put(worker, "over", ended())
    assert database.standing() == Standing(2, 2, 0, None)
    worker.write(Write("undoing", worker.epoch, change=ended()))
    assert database.standing() == Standing(2, 1, 0, None)


def test_what_stands_is_counted_from_small_indexes(database_url: str) -> None:
    """However many runs there are, only those counted are read."""
    with log(database_url) as database:
        Worker(database, None).write(Write("a", start=new_run("a")))
        with explained(database) as plans:
            database.standing()
        (plan,) = plans
        for index in ("runs_parked", "runs_compensating", "approvals_pending"):
            assert index in plan, plan
        assert "Seq Scan" not in plan
        assert all("INDEX" in line for line in plan.splitlines() if "SCAN amends_" in line), plan


def test_an_observer_is_told_of_each_transaction_with_writes(worker: Worker, database: Database) -> None:
    noting = Noting()
    ben = Worker(database, "ben", observer=noting)
    ben.start("a")
    ben.write_together([Write(name, start=new_run(name)) for name in ("b", "c", "d")])
    ben.claim()
    assert (noting.commits[0], noting.commits[-1]) == (1, 3)
    assert min(noting.seconds) > 0


def test_an_observer_that_raises_harms_no_write(database: Database, clock: Clock) -> None:
    noting = Noting(raises=True)
    ben = Worker(database, "ben", observer=noting)
    ben.start("a")
    other = Worker(database, "ann")
    with ben.held_up():
        clock.move(LEASE_MS + 1)
        other.look_after_dead()
    ben.start("b")
    assert noting.lost.acquire(timeout=10)
    assert ben.lost.acquire(timeout=10)
    ben.start("c")
    assert {row.id for row in database.runs()} == {"a", "b", "c"}


def test_a_lost_lease_is_told_once(database: Database, clock: Clock) -> None:
    """S18: the observer counts what the fence has refused."""
    noting = Noting()
    ben, other = Worker(database, "ben", observer=noting), Worker(database, "ann")
    ben.start("a")
    with ben.held_up():
        clock.move(LEASE_MS + 1)
        other.look_after_dead()
    ben.start("b")
    assert noting.lost.acquire(timeout=10)
    assert not noting.lost.acquire(blocking=False)


def test_two_logs_have_two_names(database_url: str, sqlite_url: str) -> None:
    with log(database_url) as database, log(f"{sqlite_url}.other") as other:
        assert database.namespace.endswith("|amends")
        assert database.namespace != other.namespace
