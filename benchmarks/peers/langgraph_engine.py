"""LangGraph: its functional API, everything checkpointed before it goes on (`durability="sync"`)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.func import entrypoint, task
from langgraph.types import Command, interrupt
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool
from sqlalchemy import make_url

from benchmarks.peers.figures import SIGNALLED, STEPS, p50_ms

CONNECTIONS = 8
AT_ONCE = 100


@task
async def add_one(number: int) -> int:
    """Do the least that a step can do."""
    return number + 1


@asynccontextmanager
async def saver(url: str) -> AsyncIterator[Any]:
    """Open where checkpoints go."""
    address = make_url(url)
    if address.get_backend_name() == "sqlite":
        async with AsyncSqliteSaver.from_conn_string(str(address.database)) as found:
            yield found
        return
    options = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    async with AsyncConnectionPool(url, max_size=CONNECTIONS, kwargs=options) as pool:
        found = AsyncPostgresSaver(pool)
        await found.setup()
        yield found


def _config(name: str) -> dict[str, Any]:
    return {"configurable": {"thread_id": name}, "recursion_limit": 100_000}


async def measure(letter: str, url: str, size: int) -> float:
    """Do a scenario, and give its figure."""
    async with saver(url) as checkpoints:

        @entrypoint(checkpointer=checkpoints)
        async def chain(length: int) -> int:
            number = 0
            for _ in range(length):
                number = await add_one(number)
            return number

        @entrypoint(checkpointer=checkpoints)
        async def waiter(_given: int) -> Any:
            return interrupt("number")

        async def done(graph: Any, given: Any, name: str) -> float:
            began = time.perf_counter()
            await graph.ainvoke(given, _config(name), durability="sync")
            return time.perf_counter() - began

        await done(chain, 1, "warm-up")
        match letter:
            case "A":
                return size / await done(chain, size, "a")
            case "B":
                began = time.perf_counter()
                await asyncio.gather(*(done(chain, STEPS, f"b{number}") for number in range(size)))
                return size * STEPS / (time.perf_counter() - began)
            case "C":
                return p50_ms([await done(chain, 1, f"c{number}") for number in range(size)])
            case "D":
                return size / await _paused(done, waiter, size)
            case _:
                await _paused(done, waiter, size)
                chosen = range(0, size, max(1, size // SIGNALLED))[:SIGNALLED]
                return p50_ms([await done(waiter, Command(resume=1), f"w{number}") for number in chosen])


async def _paused(done: Any, waiter: Any, size: int) -> float:
    """Let so many runs begin and wait; gives the seconds."""
    began = time.perf_counter()
    for first in range(0, size, AT_ONCE):
        some = range(first, min(first + AT_ONCE, size))
        await asyncio.gather(*(done(waiter, number, f"w{number}") for number in some))
    return time.perf_counter() - began
