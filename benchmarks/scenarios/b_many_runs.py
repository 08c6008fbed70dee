"""B: many short runs started at once in one process."""

from __future__ import annotations

import asyncio
from statistics import median
from typing import Any

from amends.sagas import Coordinator, saga, step
from benchmarks import contents
from benchmarks.figures import Against, Figure, answer
from benchmarks.stopwatch import Stopwatch

STEPS = 5
ROUNDS = 3
WARM_UP = 50
TARGETS = {"sqlite": "≥ 10,000", "postgresql": "≥ 8,000"}


@step
async def add_one(number: int) -> int:
    """Do the least that a step can do."""
    return number + 1


@saga
async def short_run(number: int) -> int:
    """Call five steps in a row."""
    for _ in range(STEPS):
        number = await add_one(number)
    return number


async def round_of(coordinator: Coordinator, size: int) -> None:
    """Start `size` runs at once and wait for their results."""
    runs = await asyncio.gather(*(coordinator.start(short_run, number) for number in range(size)))
    await asyncio.gather(*(run.result() for run in runs))


async def measure(url: str, size: int) -> list[dict[str, Any]]:
    """Make three rounds of `size` runs; the speed is the median round's."""
    rounds = [Stopwatch() for _ in range(ROUNDS)]
    async with Coordinator(url) as coordinator:
        await round_of(coordinator, min(size, WARM_UP))
        before = contents.rows(url)
        for watch in rounds:
            with watch:
                await round_of(coordinator, size)
    rows = (contents.rows(url) - before) / ROUNDS
    steps = size * STEPS
    middle = sorted(rounds, key=lambda watch: watch.seconds)[ROUNDS // 2]
    seconds = median(watch.seconds for watch in rounds)
    return answer(
        Figure("steps_per_second", "steps", steps / seconds, "/s", TARGETS[contents.backend(url)]),
        Figure("rows_per_second", "rows written", rows / seconds, "/s", "", Against.ROWS),
        Figure("rows_per_step", "rows per step", rows / steps, ""),
        *middle.costs(steps, "step", cpu_target="≤ 100"),
    )
