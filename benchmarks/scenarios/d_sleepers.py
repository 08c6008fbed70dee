"""D: many runs asleep for an hour, and a worker that comes up beside them."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from amends.sagas import Coordinator, saga, sleep, step
from benchmarks import child, contents
from benchmarks.figures import Figure, answer
from benchmarks.stopwatch import Stopwatch

AT_ONCE = 500
SETTLE_SECONDS = 1.0
IDLE_SECONDS = 5.0
IMPORT = "import time; begun = time.perf_counter(); import amends.sagas; print(time.perf_counter() - begun)"


@step
async def add_one(number: int) -> int:
    """Do the least that a step can do."""
    return number + 1


@saga
async def sleeper(number: int) -> int:
    """Sleep, then call one step."""
    await sleep(timedelta(hours=1))
    return await add_one(number)


@saga
async def one_step(number: int) -> int:
    """Call one step: it shows that the worker serves."""
    return await add_one(number)


async def measure(url: str, size: int) -> list[dict[str, Any]]:
    """Start `size` sleepers, then a second worker on the same database."""
    async with Coordinator(url) as coordinator:
        await start_sleepers(coordinator, AT_ONCE)
        memory, stored = await settled_memory(), contents.size(url)
        with Stopwatch() as starts:
            await start_sleepers(coordinator, size)
        memory = await settled_memory() - memory
    stored = contents.size(url) - stored
    again = child.run(__name__, "serve", url, time.monotonic())
    return answer(
        Figure("starts_per_second", "starts", size / starts.seconds, "/s", "≥ 10,000"),
        *starts.costs(size, "start"),
        Figure("memory_per_sleeper", "worker's memory per sleeper", memory / size, "B", "0"),
        Figure("database_per_sleeper", "database per sleeper", stored / size, "B", "≤ 1,024"),
        Figure(
            "serving_seconds", "process start → first result", again["serving"], "s", "whatever the number"
        ),
        Figure("serving_memory", "a worker beside them", again["memory"] / 1e6, "MB", "whatever the number"),
        Figure("idle_cpu", "idle CPU", again["idle"] * 100, "%", "< 1"),
        Figure("import_seconds", "import amends.sagas", import_seconds(), "s", "≤ 0.5"),
    )


async def start_sleepers(coordinator: Coordinator, count: int) -> None:
    """Start `count` sleepers, some hundred at a time."""
    for first in range(0, count, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, count))
        await asyncio.gather(*(coordinator.start(sleeper, number) for number in numbers))


async def settled_memory() -> int:
    """Give the bytes that this process holds in memory once it has come to rest."""
    await asyncio.sleep(SETTLE_SECONDS)
    gc.collect()
    return resident_memory()


def resident_memory() -> int:
    """Give the bytes that this process holds in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def import_seconds() -> float:
    """Import the library in a fresh process and give the time that it took."""
    done = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True)
    return float(done.stdout)


async def serve(url: str, begun: float) -> dict[str, float]:
    """Come up beside the sleepers: seconds from `begun` to the first result, CPU while idle, memory."""
    async with Coordinator(url) as coordinator:
        await (await coordinator.start(one_step, 0)).result()
        serving = time.monotonic() - begun
        await asyncio.sleep(SETTLE_SECONDS)
        with Stopwatch() as idle:
            await asyncio.sleep(IDLE_SECONDS)
        memory = resident_memory()
    return {"serving": serving, "idle": idle.cpu_seconds / idle.seconds, "memory": memory}
