"""Clocks that are two hours apart, and clocks that are set while workers work."""

import signal
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from amends.sagas.journal import Kind
from tests.crash.claims import breaches, told
from tests.crash.clocks import SetClock
from tests.crash.cycles import Bench
from tests.crash.stores import Ledger
from tests.crash.waiting import eventually

HOURS = timedelta(hours=2)
LEASE_MS = 800
RUNS = 12
NAP_S = 0.15
"""`naps` sleeps at least so long."""


@pytest.fixture
def ledger(bench: Bench) -> Iterator[Ledger]:
    with bench.store() as found:
        yield found


def set_clocks(directory: Path, *by: timedelta) -> list[SetClock]:
    """Make clocks that are so far from the right one."""
    clocks = [SetClock(directory / f"clock-{number}") for number in range(len(by))]
    for clock, distance in zip(clocks, by, strict=True):
        clock.set(distance)
    return clocks


def nothing_was_stolen(bench: Bench, ledger: Ledger, runs: Sequence[str]) -> None:
    """Look whether all of it was done once, and by whoever began it."""
    for run in runs:
        story = bench.story(ledger, run)
        assert story.record.row.status == "completed", told(story)
        assert not [entry for entry in story.entries if entry.kind is Kind.LOST], told(story)
        assert not breaches(story), told(story)


def test_on_a_server_the_clocks_of_workers_say_nothing(bench: Bench, ledger: Ledger, tmp_path: Path) -> None:
    """L1, L2: two hours apart, they steal no lease, and wake nobody too early."""
    if ledger.url.startswith("sqlite"):
        pytest.skip("the processes of a SQLite file have one clock")
    clocks = set_clocks(tmp_path, -HOURS, timedelta(0), HOURS)
    workers = [
        bench.zygote.start(bench.spec("work", ledger, saga="linear", lease_ms=LEASE_MS, clock=clock.path))
        for clock in clocks
    ]
    eventually(lambda: len(ledger.workers()) == len(workers))
    runs = [uuid4().hex for _ in range(RUNS)]
    for run in runs:
        bench.world.direct(run, "flight", ["slow:150"])
    for clock, some in zip(clocks, (runs[:4], runs[4:8], runs[8:]), strict=True):
        for saga, few in (("linear", some[:2]), ("naps", some[2:])):
            spec = bench.spec("start", ledger, saga=saga, runs=few, work=False, clock=clock.path)
            assert bench.zygote.start(spec).wait()[-1].code == 0
    eventually(lambda: {row.status for row in ledger.runs().values()} == {"completed"})
    seen = [(row.lease_until, row.epoch) for row in ledger.workers()]
    time.sleep(2 * LEASE_MS / 1000)
    assert len(ledger.workers()) == len(seen), "an idle worker renews its lease, whatever its clock says"
    for worker in workers:
        worker.signal(signal.SIGTERM)
        assert worker.wait()[-1].code == 0, worker.log()
    nothing_was_stolen(bench, ledger, runs)
    for run in (run for run in runs if ledger.runs()[run].saga == "naps"):
        began = [call.began for call in bench.world.calls(run)]
        assert began[-1] - began[0] >= NAP_S * 1000, "it woke too early"
    for clock in clocks:
        clock.close()


def test_a_clock_that_is_set_to_and_fro_takes_no_worker_for_dead(
    bench: Bench, ledger: Ledger, tmp_path: Path
) -> None:
    """L1: where the clock was set a moment ago, the end of a lease says nothing about its worker."""
    (clock,) = set_clocks(tmp_path, timedelta(0))
    workers = [
        bench.zygote.start(bench.spec("work", ledger, saga="linear", lease_ms=LEASE_MS, clock=clock.path))
        for _ in range(3)
    ]
    eventually(lambda: len(ledger.workers()) == len(workers))
    runs = [uuid4().hex for _ in range(RUNS)]
    for run in runs:
        for name in ("hotel", "flight", "car"):
            bench.world.direct(run, name, ["slow:200"])
    starting = bench.zygote.start(
        bench.spec("start", ledger, saga="linear", runs=runs, work=False, clock=clock.path)
    )
    eventually(bench.world.calls)
    before = {row.id: row.epoch for row in ledger.workers()}
    for number in range(10):
        clock.set(HOURS * (number % 3 - 1))
        time.sleep(0.15)
    after = {row.id: row.epoch for row in ledger.workers()}
    assert after == before, "nobody was taken for dead, and had to register anew"
    assert starting.wait()[-1].code == 0
    eventually(lambda: [row.status for row in ledger.runs().values()] == ["completed"] * RUNS)
    for worker in workers:
        worker.signal(signal.SIGTERM)
        assert worker.wait()[-1].code == 0, worker.log()
    nothing_was_stolen(bench, ledger, runs)
    clock.close()
