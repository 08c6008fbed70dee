"""DBOS: workflows on threads of its own, as many as made it quickest; on SQLite with a write-ahead log."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from dbos import DBOS, DBOSConfig
from sqlalchemy import make_url

from benchmarks.peers.figures import SIGNALLED, STEPS, p50_ms

THREADS = {"sqlite": 4, "postgresql": 32}
HOUR = 3600.0
WARM_UP = 10
SETTLE = 2.0
AT_ONCE = 100


@DBOS.step()
def add_one(number: int) -> int:
    """Do the least that a step can do."""
    return number + 1


@DBOS.workflow()
def chain(length: int) -> int:
    """Call one step after the other."""
    number = 0
    for _ in range(length):
        number = add_one(number)
    return number


@DBOS.workflow()
async def sleeper() -> None:
    """Sleep for an hour."""
    await DBOS.sleep_async(HOUR)


@DBOS.workflow()
async def waiter() -> Any:
    """Wait for a message."""
    return await DBOS.recv_async("number", timeout_seconds=HOUR)


@contextmanager
def launched(url: str) -> Iterator[int]:
    """Open DBOS on a database; gives how many threads it has."""
    backend = make_url(url).get_backend_name()
    if backend == "sqlite":
        with sqlite3.connect(str(make_url(url).database)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
    threads = THREADS[backend]
    DBOS(
        config=DBOSConfig(
            name="bench", system_database_url=url, log_level="ERROR", max_executor_threads=threads
        )
    )
    DBOS.launch()
    for _ in range(WARM_UP):
        chain(1)
    try:
        yield threads
    finally:
        DBOS.destroy()


async def measure(letter: str, url: str, size: int) -> float:
    """Do a scenario, and give its figure."""
    with launched(url) as threads:
        match letter:
            case "A":
                began = time.perf_counter()
                chain(size)
                return size / (time.perf_counter() - began)
            case "B":
                began = time.perf_counter()
                with ThreadPoolExecutor(threads) as starting:
                    handles = list(starting.map(lambda _: DBOS.start_workflow(chain, STEPS), range(size)))
                for handle in handles:
                    handle.get_result()
                return size * STEPS / (time.perf_counter() - began)
            case "C":
                return p50_ms([_one() for _ in range(size)])
            case "D":
                began = time.perf_counter()
                await _started(sleeper, size)
                return size / (time.perf_counter() - began)
            case _:
                return await _signalled(size)


def _one() -> float:
    began = time.perf_counter()
    chain(1)
    return time.perf_counter() - began


async def _started(workflow: Any, size: int) -> list[Any]:
    """Start so many, some hundred at a time."""
    handles: list[Any] = []
    for first in range(0, size, AT_ONCE):
        some = range(first, min(first + AT_ONCE, size))
        handles += await asyncio.gather(*(DBOS.start_workflow_async(workflow) for _ in some))
    return handles


async def _signalled(size: int) -> float:
    handles = await _started(waiter, size)
    await asyncio.sleep(SETTLE)
    times = []
    for handle in handles[:: max(1, size // SIGNALLED)][:SIGNALLED]:
        await DBOS.send_async(handle.workflow_id, 1, "number")
        began = time.perf_counter()
        await handle.get_result()
        times.append(time.perf_counter() - began)
    return p50_ms(times)
