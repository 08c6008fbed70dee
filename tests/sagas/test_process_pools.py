"""Steps that compute in processes of a pool, which may break."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import pytest

from amends.sagas import Coordinator, Outcome, RunFailed, Status, Undo, current_step, saga, step
from tests.sagas.running import AT_ONCE, ONCE, on_a_loop


class Pools:
    """A pool of processes that may be made anew."""

    def __init__(self) -> None:
        self.made = 0
        self.pool = self._make()

    def renew(self) -> None:
        self.pool.shutdown(wait=False)
        self.pool = self._make()

    def _make(self) -> ProcessPoolExecutor:
        self.made += 1
        return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))


@pytest.fixture
def pools() -> Iterator[Pools]:
    found = Pools()
    yield found
    found.pool.shutdown()


UNDONE: list[Outcome] = []


@step(name="pools.compute", retry=AT_ONCE)
async def compute(number: int) -> int:
    """Break the pool at the first attempt, and have it made anew."""
    pools: Pools = current_step().resources
    loop = asyncio.get_running_loop()
    try:
        if current_step().attempt == 1:
            await loop.run_in_executor(pools.pool, os._exit, 1)
        return await loop.run_in_executor(pools.pool, abs, number)
    except BrokenProcessPool:
        pools.renew()
        raise


@step(name="pools.break", retry=ONCE)
def break_it() -> None:
    """Break the pool from a thread."""
    pools: Pools = current_step().resources
    pools.pool.submit(os._exit, 1).result()


@break_it.compensation(name="pools.mend")
async def mend(undo: Undo[None]) -> None:
    UNDONE.append(undo.outcome)


@saga(name="pools.once")
async def once_broken() -> int:
    return await compute(-3)


@saga(name="pools.broken")
async def broken() -> None:
    await break_it()


@on_a_loop
async def test_a_broken_pool_is_an_error_like_others_and_tried_again(sqlite_url: str, pools: Pools) -> None:
    async with Coordinator(sqlite_url, resources=pools) as coordinator:
        assert await (await coordinator.start(once_broken)).result() == 3
    assert pools.made == 2


@on_a_loop
async def test_what_a_broken_pool_may_have_done_is_undone(sqlite_url: str, pools: Pools) -> None:
    """S2, S9: nobody knows how far the process came."""
    UNDONE.clear()
    async with Coordinator(sqlite_url, resources=pools) as coordinator:
        run = await coordinator.start(broken)
        with pytest.raises(RunFailed, match="terminated abruptly"):
            await run.result()
        assert await run.status() is Status.COMPENSATED
    assert UNDONE == [Outcome.UNKNOWN]
