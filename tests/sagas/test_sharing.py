"""Several coordinators on one database, and coordinators that only ask."""

from __future__ import annotations

import asyncio
import datetime as dt

from amends.sagas import Coordinator, Status, saga, sleep, step
from tests.sagas.running import Clock, Gate, ended, on_a_loop


@on_a_loop
async def test_a_run_goes_on_in_another_coordinator(database_url: str) -> None:
    """Section 3, Dormancy: who wakes it doesn't matter; who started it hears of its end."""
    clock = Clock()

    @saga
    async def body() -> str:
        await sleep(dt.timedelta(hours=1))
        return "woke"

    async with Coordinator(database_url, work=False, clock=clock) as asking:
        async with Coordinator(database_url, clock=clock) as first:
            run = await asking.start(body, id="a")
            await first.run_until_idle()
        clock.move(dt.timedelta(hours=1))
        async with Coordinator(database_url, clock=clock) as second:
            await second.run_until_idle()
            assert await run.result(30) == "woke"


@on_a_loop
async def test_a_coordinator_that_does_not_work_only_asks(database_url: str) -> None:
    """Section 2: `work=False` claims nothing; it starts, waits, cancels and lists."""
    gate = Gate()
    where: list[int] = []

    @step
    async def does() -> int:
        await gate.wait()
        return 1

    @saga
    async def body() -> int:
        where.append(1)
        return await does()

    @saga
    async def rests() -> None:
        await sleep(dt.timedelta(days=1))

    async with Coordinator(database_url, work=False) as asking:
        run = await asking.start(body, id="a")
        assert (await run.status(), where) == (Status.READY, [])
        waiting = asyncio.create_task(run.result(30))
        async with Coordinator(database_url):
            await gate.reached.wait()
            assert await run.status() is Status.RUNNING
            gate.opened.set()
            assert await waiting == 1
            other = await asking.start(rests, id="b")
            await other.cancel()
            assert await ended(other) is Status.CANCELLED


@on_a_loop
async def test_two_coordinators_share_the_work(database_url: str) -> None:
    """Section 3: each run has one owner; every step is executed once."""
    done: list[tuple[int, int]] = []

    @step
    async def does(run: int, number: int) -> None:
        await asyncio.sleep(0)
        done.append((run, number))

    @saga
    async def body(run: int) -> int:
        for number in range(3):
            await does(run, number)
        return run

    async with (
        Coordinator(database_url) as one,
        Coordinator(database_url) as other,
        Coordinator(database_url, work=False) as asking,
    ):
        runs = [await (one, other, asking)[n % 3].start(body, n) for n in range(60)]
        assert await asyncio.gather(*(run.result(50) for run in runs)) == list(range(60))
    assert sorted(done) == [(run, number) for run in range(60) for number in range(3)]
