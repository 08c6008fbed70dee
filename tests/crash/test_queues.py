"""Workers that are killed while runs stand in a queue: its limit holds, and each run gets its turn."""

import signal
from collections.abc import Iterator, Sequence
from datetime import timedelta
from uuid import uuid4

import pytest

from amends.sagas import Coordinator, Rate
from tests.crash.children import Job
from tests.crash.claims import breaches, told
from tests.crash.cycles import Bench
from tests.crash.stores import Ledger
from tests.crash.waiting import eventually
from tests.crash.world import Call

RUNS = 24
AT_ONCE = 3
PER = timedelta(milliseconds=600)
PER_MS = 600
REFUSED = 4
"""Every so many runs one is refused its car, and undone."""


@pytest.fixture
def ledger(bench: Bench) -> Iterator[Ledger]:
    with bench.store() as found:
        yield found


def most_at_once(calls: Sequence[Call]) -> int:
    """Tell how many runs went on together at most: each from its first call to the end of its last."""
    began = {call.run: call.number for call in reversed(calls)}
    last = {call.run: call.number for call in calls}
    return max(
        sum(began[other] <= number and last[other] >= number for other in began) for number in began.values()
    )


def test_a_queues_limit_holds_while_its_workers_are_killed(bench: Bench, ledger: Ledger) -> None:
    """L1, S17: three workers, each killed twice; never more runs than the limit, and none is left behind."""
    runs = [uuid4().hex for _ in range(RUNS)]
    for number, run in enumerate(runs):
        bench.world.direct(run, "flight", ["slow:20"])
        if number % REFUSED == 0:
            bench.world.direct(run, "car", ["refuse*"])
    with Coordinator.sync(ledger.url, work=False) as coordinator:
        coordinator.queues.put("counter", concurrency=AT_ONCE)
    workers = [bench.zygote.start(*[bench.spec("work", ledger, saga="lined_up")] * 3) for _ in range(3)]
    starter = bench.zygote.start(bench.spec("start", ledger, saga="lined_up", runs=runs, work=False))
    for worker in (*workers, *workers):
        _let_four_more_calls_come(bench, ledger, runs)
        worker.signal(signal.SIGKILL)
    assert starter.wait()[-1].code == 0, starter.log()
    eventually(lambda: _all_ended(ledger, runs))
    end(ledger, workers)
    calls = [call for call in bench.world.calls() if call.run in set(runs)]
    assert 2 <= most_at_once(calls) <= AT_ONCE
    for number, run in enumerate(runs):
        story = bench.story(ledger, run)
        assert story.record.row.status == ("completed" if number % REFUSED else "compensated"), told(story)
        assert not breaches(story), told(story)


def test_a_rate_holds_over_the_death_of_who_gave_the_places(bench: Bench, ledger: Ledger) -> None:
    """S17: what has begun counts, whoever let it begin."""
    runs = [uuid4().hex for _ in range(8)]
    with Coordinator.sync(ledger.url, work=False) as coordinator:
        coordinator.queues.put("counter", rate=Rate(2, per=PER))
    worker = bench.zygote.start(*[bench.spec("work", ledger, saga="lined_up")] * 2)
    starter = bench.zygote.start(bench.spec("start", ledger, saga="lined_up", runs=runs, work=False))
    assert starter.wait()[-1].code == 0, starter.log()
    eventually(bench.world.calls)
    worker.signal(signal.SIGKILL)
    eventually(lambda: _all_ended(ledger, runs))
    end(ledger, [worker])
    begun = sorted(row.admitted_at or 0 for row in ledger.runs().values())
    assert all(third - first > PER_MS for first, third in zip(begun, begun[2:], strict=False))
    for run in runs:
        first = min(call.began for call in bench.world.calls(run))
        assert first >= (ledger.runs()[run].admitted_at or 0), "it began when it had its place"
        assert not breaches(bench.story(ledger, run))


def end(ledger: Ledger, workers: Sequence[Job]) -> None:
    """Let the workers end orderly."""
    eventually(lambda: {worker.pid for worker in workers} <= {row.pid for row in ledger.workers()})
    for worker in workers:
        worker.signal(signal.SIGTERM)
        assert worker.wait()[-1].code == 0, worker.log()


def _let_four_more_calls_come(bench: Bench, ledger: Ledger, runs: Sequence[str]) -> None:
    enough = len(bench.world.calls()) + 4
    eventually(lambda: len(bench.world.calls()) >= enough or _all_ended(ledger, runs))


def _all_ended(ledger: Ledger, runs: Sequence[str]) -> bool:
    found = ledger.runs()
    return all(run in found and found[run].status in ("completed", "compensated") for run in runs)
