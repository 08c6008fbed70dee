"""A run that sleeps is woken by hand."""

from __future__ import annotations

import asyncio
import datetime as dt

import pytest

from amends.sagas import Coordinator, RunEnded, RunNotFound, now, saga, sleep, sleep_until
from amends.sagas.journal import Kind
from tests.sagas.running import Clock, kinds, on_a_loop

DAY = dt.timedelta(days=1)


@saga(name="waking.naps")
async def naps() -> list[float]:
    began = now()
    await sleep(DAY)
    first = (now() - began).total_seconds()
    await sleep_until(began + 3 * DAY)
    return [first, (now() - began).total_seconds()]


@saga(name="waking.limited")
async def limited() -> str:
    async with asyncio.timeout(DAY.total_seconds()):
        await asyncio.gather(sleep(DAY / 2), sleep(DAY / 3))
    return "in time"


@on_a_loop
async def test_each_waking_ends_one_sleep(database_url: str) -> None:
    clock = Clock()
    async with Coordinator(database_url, clock=clock) as coordinator:
        run = await coordinator.start(naps, id="n")
        await coordinator.run_until_idle()
        for _ in range(2):
            clock.move(dt.timedelta(hours=1))
            await run.wake_up(by="ann")
            await coordinator.run_until_idle()
        assert await run.result(30) == [3_600, 7_200]
        assert [line.action for line in await run.audit()] == ["wake up", "wake up"]
        assert (await kinds(run)).count(Kind.FIRED) == 2


@on_a_loop
async def test_waking_replays(database_url: str) -> None:
    clock = Clock()
    async with Coordinator(database_url, clock=clock) as coordinator:
        run = await coordinator.start(naps, id="n")
        await coordinator.run_until_idle()
        await run.wake_up()
        await coordinator.run_until_idle()
    clock.move(3 * DAY)
    async with Coordinator(database_url, clock=clock) as coordinator:
        await coordinator.run_until_idle()
        assert await (await coordinator.get("n")).result(30) == [0, 3 * 86_400]


@on_a_loop
async def test_waking_ends_sleeping_and_no_time_limit(sqlite_url: str) -> None:
    clock = Clock()
    async with Coordinator(sqlite_url, clock=clock) as coordinator:
        run = await coordinator.start(limited, id="l")
        await coordinator.run_until_idle()
        await run.wake_up()
        await coordinator.run_until_idle()
        assert await run.result(30) == "in time"


@on_a_loop
async def test_a_run_that_has_ended_or_never_was_is_not_woken(sqlite_url: str) -> None:
    clock = Clock()
    async with Coordinator(sqlite_url, clock=clock) as coordinator:
        run = await coordinator.start(limited, id="l")
        await coordinator.run_until_idle()
        await run.wake_up()
        await coordinator.run_until_idle()
        await run.result(30)
        with pytest.raises(RunEnded, match="doesn't sleep"):
            await run.wake_up()
        with pytest.raises(RunNotFound):
            await coordinator.wake_up("nobody")
