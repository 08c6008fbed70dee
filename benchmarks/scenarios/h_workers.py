"""H: many short runs that are due, done by one, two and four worker processes."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from amends.sagas import Coordinator
from benchmarks import child, contents
from benchmarks.disk import flushes
from benchmarks.figures import Figure, answer
from benchmarks.scenarios.b_many_runs import STEPS, short_run

WORKERS = (1, 2, 4)
AT_ONCE = 500
LOOK_SECONDS = 0.02


async def measure(url: str, size: int) -> list[dict[str, Any]]:
    """Store `size` runs, then let the workers come: as often as there are numbers of workers."""
    figures = []
    for count in WORKERS:
        await _store(url, size)
        with TemporaryDirectory(prefix="amends-bench-") as directory:
            figures += await _work_off(url, size * STEPS, Path(directory), count)
    return answer(*figures)


async def _store(url: str, size: int) -> None:
    async with Coordinator(url, work=False) as client:
        for first in range(0, size, AT_ONCE):
            some = range(first, min(first + AT_ONCE, size))
            await asyncio.gather(*(client.start(short_run, number) for number in some))


async def _work_off(url: str, steps: int, directory: Path, count: int) -> list[Figure]:
    """Measure from the moment at which the first of `count` workers is there until nothing is left."""
    stages = [
        asyncio.create_task(asyncio.to_thread(child.run, __name__, "work", url, str(directory)))
        for _ in range(count)
    ]
    await _until(lambda: len(list(directory.glob("loaded-*"))) == count)
    before = flushes()
    (directory / "go").touch()
    await _until(contents.all_ended(url))
    ended = time.monotonic()
    after = flushes()
    (directory / "stop").touch()
    told = await asyncio.gather(*stages)
    seconds = ended - min(each["open"] for each in told)
    named = f"{count} worker{'s' * (count > 1)}"
    figures = [
        Figure(f"steps_per_second_{count}", f"steps, {named}", steps / seconds, "/s"),
        Figure(
            f"cpu_us_per_step_{count}",
            f"CPU per step, {named}",
            sum(each["cpu"] for each in told) / steps * 1e6,
            "µs",
        ),
    ]
    if before is not None and after is not None:
        figures.append(
            Figure(f"flushes_per_step_{count}", f"flushes per step, {named}", (after - before) / steps, "")
        )
    return figures


async def work(url: str, directory: str) -> dict[str, float]:
    """Be a worker, from "go" to "stop": when it was open, and the CPU time it took from then on."""
    place = Path(directory)
    (place / f"loaded-{os.getpid()}").touch()
    await _until((place / "go").exists)
    async with Coordinator(url, sagas=[short_run]):
        opened, cpu = time.monotonic(), time.process_time()
        await _until((place / "stop").exists)
        return {"open": opened, "cpu": time.process_time() - cpu}


async def _until(come: Callable[[], bool]) -> None:
    while not come():  # noqa: ASYNC110 - another process does it
        await asyncio.sleep(LOOK_SECONDS)
