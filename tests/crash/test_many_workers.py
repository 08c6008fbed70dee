"""Many workers: work is spread, and none of it lost or done twice, whoever is told to go, or frozen."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from uuid import uuid4

import pytest

from amends.sagas.journal import Kind
from tests.crash.children import Job
from tests.crash.claims import breaches, told
from tests.crash.cycles import Bench
from tests.crash.stores import Ledger
from tests.crash.test_frozen_worker import freeze
from tests.crash.waiting import eventually

LONG_LEASE_MS = 60_000
SHORT_LEASE_MS = 800
EIGHT, MANY = 8, 2_000
LEAST_SHARE = MANY // EIGHT // 8
"""So many runs each of the workers does at least."""


@pytest.fixture
def ledger(bench: Bench) -> Iterator[Ledger]:
    with bench.store() as found:
        yield found


def test_eight_workers_do_two_thousand_runs_once_each(bench: Bench, ledger: Ledger) -> None:
    """L1: none is left out, none is done twice, nobody is told of deadlocks, and everybody does a part."""
    many = MANY if ledger.url.startswith("postgres") else MANY // 8
    runs = [f"one-{number:04}" for number in range(many)]
    half = many // 2
    starters = [
        bench.zygote.start(bench.spec("start", ledger, saga="noted_once", runs=some, work=False))
        for some in (runs[:half], runs[half:])
    ]
    for starter in starters:
        assert starter.wait()[-1].code == 0, starter.log()
    spec = bench.spec("work", ledger, saga="noted_once", lease_ms=LONG_LEASE_MS, max_running=20)
    workers = [bench.zygote.start(spec) for _ in range(EIGHT)]
    eventually(lambda: not ledger.going(), seconds=90)
    for worker in workers:
        worker.signal(signal.SIGTERM)
        assert worker.wait()[-1].code == 0, worker.log()
        assert "deadlock" not in worker.log()
    calls = Counter(call.run for call in bench.world.calls() if call.run in set(runs))
    assert calls == Counter(runs)
    assert ledger.counts() == {"completed": many}
    if many == MANY:
        assert len(ledger.shares()) == EIGHT
        assert min(ledger.shares().values()) >= LEAST_SHARE, ledger.shares()


def told_to_go(bench: Bench, ledger: Ledger, times: int, chance: random.Random) -> None:
    """Tell workers to go at random moments, one after the other, while runs are under way."""
    runs = [uuid4().hex for _ in range(3 * times)]
    for run in runs:
        bench.world.direct(run, "flight", ["slow:40"])
    spec = bench.spec("work", ledger, saga="linear", lease_ms=LONG_LEASE_MS, grace=5)
    worker = bench.zygote.start(spec)
    for number in range(times):
        eventually(lambda: len(ledger.workers()) == 1)
        some = runs[3 * number : 3 * number + 3]
        starter = bench.zygote.start(bench.spec("start", ledger, saga="linear", runs=some, work=False))
        time.sleep(chance.uniform(0, 0.15))
        worker.signal(signal.SIGTERM)
        assert worker.wait()[-1].code == 0, worker.log()
        assert starter.wait()[-1].code == 0, starter.log()
        assert ledger.workers() == [], "its lease is given back"
        assert not [row for row in ledger.runs().values() if row.owner], "and so are its runs"
        worker = bench.zygote.start(spec)
    eventually(lambda: set(ledger.counts()) == {"completed"})
    worker.signal(signal.SIGTERM)
    assert worker.wait()[-1].code == 0
    for run in runs:
        story = bench.story(ledger, run)
        assert not [entry for entry in story.entries if entry.kind in (Kind.LOST, Kind.FAILED)], told(story)
        assert not breaches(story), told(story)


def test_workers_told_to_go_at_any_moment_give_everything_back(
    bench: Bench, ledger: Ledger, seed: str
) -> None:
    """L1: a shutdown is no loss, and nothing fails because of it."""
    told_to_go(bench, ledger, 4, random.Random(seed))  # noqa: S311 - a test's dice


@pytest.mark.soak
def test_workers_told_to_go_at_fifty_moments_give_everything_back(
    bench: Bench, ledger: Ledger, seed: str
) -> None:
    """L1: the same at length."""
    told_to_go(bench, ledger, 50, random.Random(seed))  # noqa: S311 - a test's dice


def frozen_and_woken(bench: Bench, ledger: Ledger, times: int, chance: random.Random) -> None:
    """Freeze one of three workers past its lease and let it go on, again and again."""
    spec = bench.spec("work", ledger, saga="linear", lease_ms=SHORT_LEASE_MS, poison_after=1_000)
    workers = [bench.zygote.start(spec) for _ in range(3)]
    eventually(lambda: len(ledger.workers()) == len(workers))
    runs: list[str] = []
    for _ in range(times):
        some = [uuid4().hex for _ in range(4)]
        for run in some:
            bench.world.direct(run, "flight", [f"slow:{chance.randrange(10, 200)}"])
        runs += some
        starter = bench.zygote.start(bench.spec("start", ledger, saga="linear", runs=some, work=False))
        assert starter.wait()[-1].code == 0, starter.log()
        _nap(chance.choice(workers), ledger, chance)
    eventually(lambda: not ledger.going(parked=False))
    for worker in workers:
        worker.signal(signal.SIGTERM)
        assert worker.wait()[-1].code == 0, worker.log()
    for run in runs:
        story = bench.story(ledger, run, woken=True)
        assert story.late or story.record.row.status in ("completed", "compensated"), told(story)
        assert not breaches(story), told(story)


def _nap(worker: Job, ledger: Ledger, chance: random.Random) -> None:
    freeze(worker, ledger)
    time.sleep(SHORT_LEASE_MS / 1000 + chance.uniform(0.1, 0.4))
    os.kill(worker.pid, signal.SIGCONT)


def test_workers_frozen_past_their_leases_write_nothing_stale(
    bench: Bench, ledger: Ledger, seed: str
) -> None:
    """S18: who wakes finds its lease lost; what it has to say is evidence at most (S5)."""
    frozen_and_woken(bench, ledger, 2, random.Random(seed))  # noqa: S311 - a test's dice


@pytest.mark.soak
def test_workers_frozen_fifty_times_write_nothing_stale(bench: Bench, ledger: Ledger, seed: str) -> None:
    """S18, S5: the same at length."""
    frozen_and_woken(bench, ledger, 50, random.Random(seed))  # noqa: S311 - a test's dice
