"""J: many runs that fail at their last step, and undo all the others."""

from __future__ import annotations

import asyncio
from typing import Any

from amends.sagas import Coordinator, NoEffect, Retry, RunFailed, Undo, saga, step
from benchmarks.figures import Figure, answer
from benchmarks.stopwatch import Stopwatch

STEPS = 5
WARM_UP = 50


@step(retry=Retry(attempts=1))
async def reserve(number: int) -> int:
    """Have an effect that can be undone; the last of a run is refused."""
    if number == STEPS:
        raise NoEffect("the last one is refused")
    return number


@reserve.compensation
async def release(undo: Undo[int], number: int) -> None:
    """Undo it."""


@saga
async def doomed() -> None:
    """Reserve until the last one is refused."""
    for number in range(1, STEPS + 1):
        await reserve(number)


async def measure(url: str, size: int) -> list[dict[str, Any]]:
    """Start `size` runs at once and wait until each has undone its four effects."""
    async with Coordinator(url) as coordinator:
        await round_of(coordinator, min(size, WARM_UP))
        with Stopwatch() as watch:
            await round_of(coordinator, size)
    undone = size * (STEPS - 1)
    done = size * STEPS + undone
    return answer(
        Figure("undone_per_second", "compensations", undone / watch.seconds, "/s"),
        Figure("calls_per_second", "steps and compensations", done / watch.seconds, "/s", "as B's steps"),
        *watch.costs(done, "call", cpu_target="≤ 100"),
    )


async def round_of(coordinator: Coordinator, size: int) -> None:
    """Start `size` runs at once and see each of them undone."""
    runs = await asyncio.gather(*(coordinator.start(doomed) for _ in range(size)))
    ends = await asyncio.gather(*(run.result() for run in runs), return_exceptions=True)
    assert all(isinstance(end, RunFailed) and end.status == "compensated" for end in ends)
