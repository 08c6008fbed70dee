"""I: whether a step costs the same wherever it stands in its run."""

from __future__ import annotations

import time
from itertools import pairwise
from statistics import median
from typing import Any

from amends.sagas import Coordinator, saga, step
from benchmarks.figures import Figure, answer

WINDOW = 200
"""So many steps are looked at, at the beginning and at the end."""
SKIPPED = 10
MOMENTS: list[float] = []


@step
async def tick(number: int) -> int:
    """Note when it runs."""
    MOMENTS.append(time.perf_counter())
    return number


@saga
async def ticking(length: int) -> int:
    """Call many steps in a row."""
    for number in range(length):
        await tick(number)
    return length


async def measure(url: str, size: int) -> list[dict[str, Any]]:
    """Run `size` steps in a row; compare the time between two early ones with that between two late ones."""
    async with Coordinator(url) as coordinator:
        await (await coordinator.start(ticking, SKIPPED)).result()
        MOMENTS.clear()
        await (await coordinator.start(ticking, size)).result()
    gaps = [late - early for early, late in pairwise(MOMENTS)]
    window = min(WINDOW, max(len(gaps) // 3, 1))
    first, last = median(gaps[SKIPPED : SKIPPED + window] or gaps), median(gaps[-window:])
    return answer(
        Figure("first_ms", f"a step at position {SKIPPED:,}", first * 1000, "ms"),
        Figure("last_ms", f"a step at position {size:,}", last * 1000, "ms"),
        Figure("position_ratio", "the late one costs", last / first, "times", "≤ 1.05"),
    )
