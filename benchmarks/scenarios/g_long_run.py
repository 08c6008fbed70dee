"""G: a run with many finished steps, brought back by a process that has never seen it."""

from __future__ import annotations

import time
from typing import Any

from amends.sagas import Coordinator, Run, saga, sleep, step
from benchmarks.figures import Figure, answer

NAP_S = 3600.0


@step
async def add_one(number: int) -> int:
    """Do the least that a step can do."""
    return number + 1


@saga
async def long_run(length: int) -> int:
    """Call many steps in a row, then wait to be woken by the clock, then call one more."""
    number = 0
    for _ in range(length):
        number = await add_one(number)
    await sleep(NAP_S)
    return await add_one(number)


class Clock:
    """Database time that can be moved on by the hour that the runs sleep."""

    def __init__(self) -> None:
        self.ahead = 0

    def __call__(self) -> int:
        """Give milliseconds of database time."""
        return int(time.time() * 1000) + self.ahead


async def measure(url: str, size: int) -> list[dict[str, Any]]:
    """Resume a run of a tenth of `size` steps and one of `size` steps; the cost must grow linearly."""
    short, whole = [await _resumed(url, length) for length in (size // 10, size)]
    return answer(
        Figure("resumed_seconds", f"resumed after {size:,} steps, finished", whole, "s", "≤ 0.3"),
        Figure("resumed_short_seconds", f"resumed after {size // 10:,} steps", short, "s"),
        Figure("growth", "ten times the steps cost", whole / short, "times", "≤ 10"),
    )


async def _resumed(url: str, length: int) -> float:
    """Give the seconds from the moment a sleeping run is due to its end, in a coordinator opened anew."""
    clock = Clock()
    async with Coordinator(url, clock=clock) as coordinator:
        run: Run[int] = await coordinator.start(long_run, length)
        await coordinator.run_until_idle()
    async with Coordinator(url, clock=clock) as coordinator:
        await coordinator.run_until_idle()
        clock.ahead += int(NAP_S * 1000)
        begun = time.perf_counter()
        await coordinator.run_until_idle()
        assert await (await coordinator.get(run.id)).result() == length + 1
        return time.perf_counter() - begun
