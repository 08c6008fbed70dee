"""Several processes over one log, and processes that die."""

import os
from pathlib import Path

import pytest

from amends.persistence.database import Database
from amends.persistence.errors import WriterClosed
from amends.persistence.records import Write, Written
from tests.persistence.children import (
    Doomed,
    claim_everything,
    in_process,
    in_processes,
    open_and_close,
    start_the_same_runs,
)
from tests.persistence.workers import LEASE_MS, Worker, entry, log, new_run


def test_forty_concurrent_starts_of_one_id_make_one_run(database_url: str) -> None:
    """S17: four processes start the same ten runs, each in an order of its own; each run is started once."""
    with log(database_url) as database:
        fates = in_processes(start_the_same_runs, database_url, 4)
        for started in zip(*fates, strict=True):
            assert sorted(started) == ["done", "taken", "taken", "taken"]
        assert len(database.runs()) == 10


def test_ten_processes_make_one_new_log(database_url: str) -> None:
    assert in_processes(open_and_close, database_url, 10) == ["open"] * 10
    with log(database_url) as database:
        Worker(database, "ann").start("a")


def test_processes_never_claim_the_same_run(database_url: str) -> None:
    with log(database_url) as database:
        names = [f"run-{n:02}" for n in range(60)]
        Worker(database, None).start(*names)
        claimed = [run_id for part in in_processes(claim_everything, database_url, 3) for run_id in part]
        assert sorted(claimed) == names


def test_a_killed_worker_is_noticed_at_once(database_url: str) -> None:
    """Its lease runs for minutes, but the system says that it is gone (S18: its runs go on elsewhere)."""
    with log(database_url, lease_ms=LEASE_MS) as database:
        ann = Worker(database, "ann")
        ann.start("a", "b")
        doomed = Doomed(database_url)
        assert sorted(doomed.claimed) == ["a", "b"]
        assert ann.look_after_dead() == 0
        doomed.kill()
        assert ann.look_after_dead() == 2
        assert {each.run.id: (each.run.lost, len(each.entries)) for each in ann.claim()} == {
            "a": (1, 1),
            "b": (1, 1),
        }


def test_nothing_is_left_beside_the_file(sqlite_url: str, tmp_path: Path) -> None:
    """Whoever takes over removes what the dead worker left; closing removes the rest."""
    with log(sqlite_url) as database:
        ann = Worker(database, "ann/1")
        ann.start("a")
        doomed = Doomed(sqlite_url)
        doomed.kill()
        assert len(list(tmp_path.glob("*worker*"))) == 2
        ann.look_after_dead()
        assert len(list(tmp_path.glob("*worker*"))) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["amends.db"]


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_does_not_keep_its_parents_lock_alive(sqlite_url: str) -> None:
    """The child closes what it inherited: when the parent leaves, its name is free."""
    with log(sqlite_url) as database:
        ann = Worker(database, "ann")
        go_on, done = os.pipe()
        child = os.fork()
        if child == 0:
            os.read(go_on, 1)
            os._exit(0)
        ann.writer.close()
        again = Worker(database, "ann")
        assert again.epoch > 0
        os.write(done, b"!")
        os.waitpid(child, 0)
        os.close(go_on)
        os.close(done)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_leaves_the_parents_connections_alone(database_url: str) -> None:
    """A child's reads go over connections of its own; its parent's writer refuses it."""
    with log(database_url) as database:
        ann = Worker(database, "ann")
        ann.start("a")
        ann.claim()
        child = os.fork()
        if child == 0:
            os._exit(_child_of(ann, database))
        for seq in range(1, 20):
            assert ann.enter("a", seq) is Written.DONE
            assert len(database.journal("a")) == seq
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert ann.enter("a", 20) is Written.DONE


def test_a_process_that_only_waits_is_told_of_ends_elsewhere(database_url: str) -> None:
    with log(database_url) as database:
        web = Worker(database, None)
        web.start("a")
        in_process(claim_everything, database_url, 1)
        assert web.news.acquire(timeout=10)
        assert [run.id for run in database.ended(["a"])] == ["a"]


def _child_of(ann: Worker, database: Database) -> int:
    """Do in the child what must work, and try what mustn't; return the exit code."""
    try:
        ann.write(Write("b", start=new_run("b")))
    except WriterClosed:
        pass
    else:
        return 1
    for _ in range(20):
        run = database.run("a")
        if run is None or run.owner != "ann":
            return 2
    other = Worker(database, None)
    other.write(Write("c", start=new_run("c"), entries=(entry("c", 1),)))
    other.writer.close()
    return 0 if database.run("c") is not None else 3
