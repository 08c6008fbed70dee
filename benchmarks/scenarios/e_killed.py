"""E: a worker killed in the middle of B, and another that finishes its runs."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from amends.sagas import Coordinator, RunFailed, saga, step
from benchmarks import child, contents
from benchmarks.figures import Figure, answer

STEPS = 5
PATIENCE_SECONDS = 120.0
TARGETS = {"sqlite": "≤ 1", "postgresql": "≤ lease + 1"}


class World:
    """What really happened: a file that outlives a killed process, a line for each deed."""

    def __init__(self) -> None:
        self.file = -1
        self.left_to_live: int | None = None

    def open(self, path: str, left_to_live: int | None = None) -> None:
        """Write to `path`; after `left_to_live` steps the process is killed."""
        self.file = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
        self.left_to_live = left_to_live

    def record(self, deed: str) -> None:
        """Write a line."""
        os.write(self.file, f"{deed}\n".encode())

    def stepped(self, deed: str) -> None:
        """Write a step's line, and die if it was the last one that this process may make."""
        self.record(deed)
        if self.left_to_live is not None:
            self.left_to_live -= 1
            if self.left_to_live == 0:
                os.kill(os.getpid(), signal.SIGKILL)


world = World()


@step
async def add_one(run: str, number: int) -> int:
    """Leave a trace in the world."""
    world.stepped(f"step {run} {number}")
    return number + 1


@saga
async def short_run(run: str) -> int:
    """Call five steps in a row."""
    number = 0
    for _ in range(STEPS):
        number = await add_one(run, number)
    return number


async def measure(url: str, size: int) -> list[dict[str, Any]]:
    """Kill a worker when half of the steps are done; let another finish."""
    with TemporaryDirectory(prefix="amends-bench-") as directory:
        path = Path(directory) / "world"
        try:
            child.run(__name__, "work", url, size, str(path))
        except child.StageFailed as ended:
            if ended.returncode != -signal.SIGKILL:
                raise
        deeds = path.read_text().splitlines()
        acknowledged = [deed.split()[1] for deed in deeds if deed.startswith("started")]
        again = child.run(__name__, "finish", url, str(path), acknowledged, time.monotonic())
        executions = Counter(deed for deed in path.read_text().splitlines() if deed.startswith("step"))
    twice = sum(times - 1 for times in executions.values())
    return answer(
        Figure(
            "finished_seconds",
            "process start → all finished",
            again["finished"],
            "s",
            TARGETS[contents.backend(url)],
        ),
        Figure("ready_seconds", "of it until the coordinator is open", again["ready"], "s"),
        Figure("left", "steps left to do", size * STEPS - len(deeds) + len(acknowledged), ""),
        Figure("twice", "steps executed twice", twice, "", "those in flight"),
        Figure("lost", "runs lost, of those acknowledged", again["lost"], "", "0"),
    )


async def work(url: str, size: int, path: str) -> None:
    """Run B until killed."""
    world.open(path, left_to_live=size * STEPS // 2)

    async def one(name: str) -> None:
        run = await coordinator.start(short_run, name, id=name)
        world.record(f"started {name}")
        await run.result()

    async with Coordinator(url) as coordinator:
        await asyncio.gather(*(one(f"run-{number}") for number in range(size)))


async def finish(url: str, path: str, ids: list[str], begun: float) -> dict[str, float]:
    """Wait for all runs to end: seconds since `begun`, and how many of them have no result."""
    world.open(path)

    async def complete(name: str) -> bool:
        try:
            result: object = await (await coordinator.get(name)).result(timeout=PATIENCE_SECONDS)
        except (RunFailed, TimeoutError):
            return False
        return result == STEPS

    async with Coordinator(url) as coordinator:
        ready = time.monotonic() - begun
        completed = await asyncio.gather(*(complete(name) for name in ids))
        finished = time.monotonic() - begun
    return {"ready": ready, "finished": finished, "lost": completed.count(False)}
