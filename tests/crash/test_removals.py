"""What removes old runs is killed at each of its commits: every family is whole, or gone whole."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from uuid import uuid4

import pytest
from sqlalchemy import update

from amends.persistence.database import Database
from amends.persistence.tables import tables_in
from tests.crash.cycles import Bench
from tests.crash.stores import Ledger
from tests.crash.waiting import eventually

RUNS = 6
TOGETHER = 2
LONG_AGO_MS = 7_200_000
MOST_KILLS = 30


@pytest.fixture
def ledger(bench: Bench) -> Iterator[Ledger]:
    with bench.store() as found:
        yield found


def test_what_removes_old_runs_may_be_killed_at_any_commit(bench: Bench, ledger: Ledger) -> None:
    """S17, S23: no half of a family is left, the next removal does the rest, and ids stay taken."""
    runs = [uuid4().hex for _ in range(RUNS)]
    worker = bench.zygote.start(bench.spec("work", ledger, saga="nested", runs=runs))
    eventually(lambda: len(ledger.runs()) == 2 * RUNS and not ledger.going())
    worker.signal(signal.SIGTERM)
    assert worker.wait()[-1].code == 0, worker.log()
    _age(ledger)
    kills, left = 0, {True}
    while left != {False} and kills < MOST_KILLS:
        job = bench.zygote.start(bench.spec("collect", ledger, together=TOGETHER, work=False, at=kills + 1))
        kills += job.wait()[-1].killed
        whole = [_whole(ledger, run) for run in runs]
        left = {there for there in whole if there is not None}
        assert None not in whole, f"after {kills} kills, part of a family was left"
    assert left == {False}
    assert kills >= RUNS // TOGETHER, "each of its commits was met"
    again = bench.zygote.start(bench.spec("start", ledger, saga="nested", runs=runs, work=False))
    assert again.wait()[-1].code != 0
    assert "RunRemoved" in again.log()
    assert not any(_whole(ledger, run) for run in runs)


def _whole(ledger: Ledger, run: str) -> bool | None:
    """Tell whether all of a family is there, or nothing; None for anything between."""
    record = ledger.record(run)
    family = [] if record is None else [record, *ledger.below(run)]
    there = [bool(each.entries) for each in family]
    if len(there) == 2 and all(there):
        return True
    return None if any(there) else False


def _age(ledger: Ledger) -> None:
    """Have all runs ended two hours ago."""
    database = Database.open(ledger.url, migrate=False)
    runs = (tables_in("amends") if ledger.url.startswith("postgres") else tables_in(None, "amends_")).runs
    with database.engine.begin() as connection:
        connection.execute(
            update(runs).values(
                created_at=runs.c.created_at - LONG_AGO_MS, ended_at=runs.c.ended_at - LONG_AGO_MS
            )
        )
    database.close()
