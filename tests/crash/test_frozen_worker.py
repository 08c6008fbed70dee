"""A worker is frozen past its lease, another takes over, and the first wakes (S5, S18)."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest

from amends.sagas.journal import Kind
from tests.crash.children import Job
from tests.crash.claims import breaches, told
from tests.crash.cycles import Bench
from tests.crash.stores import Ledger
from tests.crash.waiting import eventually

LEASE_MS = 800


@pytest.fixture
def ledger(bench: Bench) -> Iterator[Ledger]:
    with bench.store() as found:
        yield found


@contextmanager
def working(bench: Bench, ledger: Ledger, *runs: str, saga: str = "holds") -> Iterator[Job]:
    """Have a worker serve, and start `runs`; it is told to end when the block does."""
    job = bench.zygote.start(bench.spec("work", ledger, saga=saga, runs=list(runs), lease_ms=LEASE_MS))
    try:
        yield job
    finally:
        if not job.over:
            job.signal(signal.SIGCONT)
            job.signal(signal.SIGTERM)
            assert job.wait()[-1].code == 0, job.log()


def freeze(job: Job, ledger: Ledger) -> None:
    """Stop a worker's process, but not while it holds the lock of a SQLite file: that limit is documented."""

    def frozen() -> bool:
        job.signal(signal.SIGSTOP)
        if ledger.free():
            return True
        job.signal(signal.SIGCONT)
        return False

    eventually(frozen)


def epoch_of(job: Job, ledger: Ledger) -> int:
    return next((row.epoch for row in ledger.workers() if row.pid == job.pid), 0)


def test_a_frozen_worker_that_wakes_writes_nothing_and_serves_on(bench: Bench, ledger: Ledger) -> None:
    """S18: another has ended the run; who wakes leaves its journal alone, and works under a new epoch."""
    run, later = uuid4().hex, uuid4().hex
    bench.world.direct(run, "held", ["hold"])
    with working(bench, ledger, run) as frozen:
        eventually(lambda: bench.world.calls(run))
        before = epoch_of(frozen, ledger)
        freeze(frozen, ledger)
        with working(bench, ledger):
            eventually(lambda: ledger.status(run) == "completed")
            ended = bench.story(ledger, run)
            bench.world.release(run, "held")
            frozen.signal(signal.SIGCONT)
            eventually(lambda: epoch_of(frozen, ledger) > before, what="it is registered anew")
            eventually(lambda: bench.story(ledger, run).record.audit, what="its outcome isn't dropped (S5)")
        bench.zygote.start(bench.spec("start", ledger, saga="linear", runs=[later], work=False)).wait()
        eventually(lambda: ledger.status(later) == "completed", what="it serves on")
    after = bench.story(ledger, run)
    assert after.record.row == ended.record.row
    assert after.entries == ended.entries
    assert [row.action for row in after.record.audit] == ["late outcome"]
    assert not breaches(after), told(after)
    assert after.standing == {"held": 1, "hotel": 1}


def test_an_outcome_of_a_frozen_worker_is_taken_as_evidence(bench: Bench, ledger: Ledger) -> None:
    """S5: it is recorded, and doesn't advance the run; the owner's own attempt does."""
    run = uuid4().hex
    bench.world.direct(run, "held", ["hold"])
    bench.world.direct(run, "hotel", ["hold"])
    with working(bench, ledger, run) as frozen:
        eventually(lambda: bench.world.calls(run))
        freeze(frozen, ledger)
        with working(bench, ledger):
            eventually(lambda: any(call.name == "hotel" for call in bench.world.calls(run)))
            bench.world.release(run, "held")
            frozen.signal(signal.SIGCONT)
            eventually(lambda: Kind.LATE in {entry.kind for entry in bench.story(ledger, run).entries})
            bench.world.release(run, "hotel")
            eventually(lambda: ledger.status(run) == "completed")
    story = bench.story(ledger, run)
    (late,) = (entry for entry in story.entries if entry.kind is Kind.LATE)
    assert (late.ref, late.attempt, late.meta["outcome"]) == (1, 1, "landed")
    assert [row.action for row in story.record.audit] == ["late outcome"]
    assert not breaches(story), told(story)


def test_an_outcome_that_comes_while_the_run_is_undone_confirms_what_is_owed(
    bench: Bench, ledger: Ledger
) -> None:
    """S5, S6: the decision stands, the compensation runs once, and the world is empty."""
    run = uuid4().hex
    bench.world.direct(run, "held", ["hold"])
    bench.world.direct(run, "car", ["refuse*"])
    bench.world.direct(run, "hotel", ["hold"], verb="undo")
    with working(bench, ledger, run, saga="falters") as frozen:
        eventually(lambda: bench.world.calls(run))
        freeze(frozen, ledger)
        with working(bench, ledger):
            eventually(lambda: any(call.verb == "undo" for call in bench.world.calls(run)))
            bench.world.release(run, "held")
            frozen.signal(signal.SIGCONT)
            eventually(lambda: Kind.LATE in {entry.kind for entry in bench.story(ledger, run).entries})
            bench.world.release(run, "hotel")
            eventually(lambda: ledger.status(run) not in ("open", "compensating"))
    story = bench.story(ledger, run)
    assert story.record.row.status == "compensated", told(story)
    assert story.standing == {}
    assert not breaches(story), told(story)
