"""Workers that are killed while they start the runs of a schedule: each occurrence starts one."""

import signal
from dataclasses import asdict

import pytest

from amends.sagas import Coordinator
from tests.crash.children import Job
from tests.crash.claims import breaches, told
from tests.crash.cycles import Bench, Blow
from tests.crash.points import FAIL, LOSE
from tests.crash.stores import Ledger
from tests.crash.waiting import eventually

NAME = "every-second"
SECOND_MS = 1_000
TICKS = ("commit", "committed")
"""The points at which a tick is struck: before its commit, and after it, before anything else is done."""


def put(bench: Bench, ledger: Ledger) -> None:
    """Have a process put the schedule."""
    putting = bench.zygote.start(bench.spec("plan", ledger, saga="linear", schedule=NAME, work=False))
    assert putting.wait()[-1].code == 0, putting.log()


def check(bench: Bench, ledger: Ledger, workers: list[Job]) -> None:
    """End the schedule and the work; of each second since it was put there must be one run, done once."""
    with Coordinator.sync(ledger.url, work=False) as coordinator:
        coordinator.schedules.delete(NAME)
    eventually(lambda: {row.status for row in ledger.runs().values()} == {"completed"})
    for worker in workers:
        worker.signal(signal.SIGTERM)
        assert worker.wait()[-1].code == 0, worker.log()
    planned = sorted(row.scheduled_for or 0 for row in ledger.runs().values())
    assert planned == list(range(planned[0], planned[-1] + 1, SECOND_MS))
    for run, row in ledger.runs().items():
        assert row.created_at >= (row.scheduled_for or 0)
        story = bench.story(ledger, run)
        assert story.standing == {"hotel": 1, "flight": 1, "car": 1}
        assert not breaches(story), told(story)


@pytest.mark.parametrize("point", TICKS)
def test_a_worker_killed_in_mid_tick_leaves_it_to_the_next(bench: Bench, point: str) -> None:
    """S17: killed before the commit, nothing of the tick was done; after it, all of it."""
    with bench.store() as ledger:
        put(bench, ledger)
        spec = bench.spec("work", ledger, saga="linear")
        blow = Blow(2, only=point, holding="start")
        worker = bench.zygote.start(spec | asdict(blow), spec)
        eventually(lambda: worker.pid and worker.exits)
        assert worker.exits[0].killed, worker.log()
        assert "start" in worker.exits[0].said[-1]
        before = len(ledger.runs())
        eventually(lambda: len(ledger.runs()) >= before + 2)
        check(bench, ledger, [worker])


@pytest.mark.parametrize(("point", "how"), [("commit", FAIL), ("committed", LOSE)])
def test_a_tick_whose_commit_fails_or_goes_unanswered_is_done_once(
    bench: Bench, point: str, how: str
) -> None:
    """S17: the worker itself finds out whether it was done, and goes on."""
    with bench.store() as ledger:
        put(bench, ledger)
        blow = Blow(2, how, only=point, holding="start")
        worker = bench.zygote.start(bench.spec("work", ledger, saga="linear") | asdict(blow))
        eventually(lambda: len(ledger.runs()) >= 4)
        check(bench, ledger, [worker])


def test_of_three_workers_two_are_killed_while_they_tick(bench: Bench) -> None:
    """S17: three processes see each second at once; each second has one run."""
    with bench.store() as ledger:
        put(bench, ledger)
        spec = bench.spec("work", ledger, saga="linear")
        blows = [Blow(at, only=point) for at, point in zip((5, 8), TICKS, strict=True)]
        workers = [bench.zygote.start(spec | asdict(blow), spec) for blow in blows]
        workers.append(bench.zygote.start(spec))
        eventually(lambda: all(worker.pid and worker.exits for worker in workers[:2]))
        before = len(ledger.runs())
        eventually(lambda: len(ledger.runs()) >= before + 3)
        check(bench, ledger, workers)
