"""C: a run of one step on an idle system, from the call of `start` to its result."""

from __future__ import annotations

import asyncio
from statistics import quantiles
from typing import Any

from amends.sagas import Coordinator, saga, step
from benchmarks.figures import Against, Figure, answer
from benchmarks.stopwatch import Stopwatch

WARM_UP = 10
PAUSE_SECONDS = 0.005


@step
async def add_one(number: int) -> int:
    """Do the least that a step can do."""
    return number + 1


@saga
async def one_step(number: int) -> int:
    """Call one step."""
    return await add_one(number)


async def measure(url: str, size: int) -> list[dict[str, Any]]:
    """Make `size` runs, one after the other, each after a pause."""
    watches = [Stopwatch() for _ in range(WARM_UP + size)]
    async with Coordinator(url) as coordinator:
        for number, watch in enumerate(watches):
            await asyncio.sleep(PAUSE_SECONDS)
            with watch:
                await (await coordinator.start(one_step, number)).result()
    measured = watches[WARM_UP:]
    percentiles = quantiles((watch.seconds * 1000 for watch in measured), n=100, method="inclusive")
    total = Stopwatch(
        cpu_seconds=sum(watch.cpu_seconds for watch in measured),
        flushes=None if measured[0].flushes is None else sum(watch.flushes or 0 for watch in measured),
    )
    return answer(
        Figure("p50_ms", "start → result, p50", percentiles[49], "ms", "≤ 4", Against.COMMIT),
        Figure("p99_ms", "start → result, p99", percentiles[98], "ms", "", Against.COMMIT),
        *total.costs(size, "run", flush_target="2"),
    )
