"""F: many runs wait for a signal; one of them is signalled, again and again."""

from __future__ import annotations

import asyncio
from statistics import quantiles
from typing import Any

from amends.sagas import Coordinator, Run, receive, saga, step
from benchmarks import contents
from benchmarks.figures import Against, Figure, answer
from benchmarks.stopwatch import Stopwatch

AT_ONCE = 500
MOST_SIGNALLED = 300
UNTIL_DORMANT_SECONDS = 2.0
PAUSE_SECONDS = 0.02


@step
async def add_one(number: int) -> int:
    """Do the least that a step can do."""
    return number + 1


@saga
async def waiter() -> int:
    """Wait for a number, then call one step."""
    return await add_one(await receive(int, name="number"))


@saga
async def receiver() -> int:
    """Wait for a number, and end."""
    return await receive(int, name="number")


async def measure(url: str, size: int) -> list[dict[str, Any]]:
    """Let `size` runs of each kind wait, then signal some of them, one after the other."""
    async with Coordinator(url) as coordinator:
        before = contents.size(url)
        with Stopwatch() as starts:
            runs = await start_waiters(coordinator, size)
        stored = contents.size(url) - before
        # What waits for a signal stays in memory for a second.
        await asyncio.sleep(UNTIL_DORMANT_SECONDS)
        chosen = runs[:: max(1, len(runs) // MOST_SIGNALLED)][:MOST_SIGNALLED]
        sending, finishing = await signal_each(coordinator, chosen)
    sent, finished = (quantiles(times, n=100, method="inclusive") for times in (sending, finishing))
    return answer(
        Figure("waiting_per_second", "runs put to wait", size / starts.seconds, "/s"),
        Figure("database_per_waiter", "database per waiting run", stored / size, "B", "≤ 1,024"),
        Figure("signal_p50_ms", "signal() → acknowledged, p50", sent[49], "ms", "", Against.COMMIT),
        Figure("p50_ms", "acknowledged → run finished, p50", finished[49], "ms", "≤ 2", Against.COMMIT),
        Figure("p99_ms", "acknowledged → run finished, p99", finished[98], "ms", "≤ 10", Against.COMMIT),
    )


async def start_waiters(coordinator: Coordinator, count: int) -> list[Run[int]]:
    """Start `count` runs that wait, some hundred at a time."""
    runs: list[Run[int]] = []
    for first in range(0, count, AT_ONCE):
        some = range(first, min(first + AT_ONCE, count))
        runs += await asyncio.gather(*(coordinator.start((waiter, receiver)[n % 2]) for n in some))
    return runs


async def signal_each(coordinator: Coordinator, runs: list[Run[int]]) -> tuple[list[float], list[float]]:
    """Signal one run after the other; milliseconds until each is acknowledged, and from then on finished."""
    sending, finishing = [], []
    for run in runs:
        await asyncio.sleep(PAUSE_SECONDS)
        with Stopwatch() as sent:
            await coordinator.signal(run.id, "number", 1)
        with Stopwatch() as finished:
            await run.result()
        sending.append(sent.seconds * 1000)
        finishing.append(finished.seconds * 1000)
    return sending, finishing
