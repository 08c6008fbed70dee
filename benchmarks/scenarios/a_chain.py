"""A: one run of trivial steps in a row, and one of reads in a row."""

from __future__ import annotations

from typing import Any

from amends.sagas import Coordinator, saga, step
from benchmarks.figures import Against, Figure, answer
from benchmarks.stopwatch import Stopwatch

READS_PER_STEP = 10
WARM_UP = 10


@step
async def add_one(number: int) -> int:
    """Do the least that a step can do."""
    return number + 1


@step(effect="read")
async def read_one(number: int) -> int:
    """Do the least that a read can do."""
    return number + 1


@saga
async def chain(length: int) -> int:
    """Call one step after the other."""
    number = 0
    for _ in range(length):
        number = await add_one(number)
    return number


@saga
async def chain_of_reads(length: int) -> int:
    """Read one thing after the other."""
    number = 0
    for _ in range(length):
        number = await read_one(number)
    return number


async def measure(url: str, size: int) -> list[dict[str, Any]]:
    """Run a chain of `size` steps and one of ten times as many reads."""
    async with Coordinator(url) as coordinator:
        await (await coordinator.start(chain, WARM_UP)).result()
        with Stopwatch() as steps:
            await (await coordinator.start(chain, size)).result()
        await (await coordinator.start(chain_of_reads, WARM_UP)).result()
        with Stopwatch() as reads:
            await (await coordinator.start(chain_of_reads, size * READS_PER_STEP)).result()
    return answer(
        Figure("steps_per_second", "steps", size / steps.seconds, "/s", "≥ 700"),
        Figure(
            "ms_per_step", "time per step", steps.seconds / size * 1000, "ms", "≤ 1.2 commits", Against.COMMIT
        ),
        *steps.costs(size, "step", cpu_target="≤ 100", flush_target="1"),
        Figure("reads_per_second", "reads", size * READS_PER_STEP / reads.seconds, "/s", "≥ 20,000"),
        *reads.costs(size * READS_PER_STEP, "read"),
    )
