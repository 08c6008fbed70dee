"""Bodies are plain asyncio: what works in an event loop works in a run, and replays."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from typing import Any

import pytest

from amends.sagas import Coordinator, Fatal, Saga, Status, now, saga, sleep, step
from amends.sagas.journal import Kind
from tests.sagas.running import Clock, ended, kinds, on_a_loop, parked, result_of


@step(name="bodies.echo")
async def echo(value: int) -> int:
    await asyncio.sleep(0)
    return value


@step(name="bodies.breaks")
async def breaks(value: int) -> int:
    raise Fatal(value)


@saga(name="bodies.gather")
async def gathers() -> Any:
    return sorted(await asyncio.gather(*(echo(n) for n in range(20))))


@saga(name="bodies.gather_errors")
async def gathers_errors() -> Any:
    got = await asyncio.gather(echo(1), breaks(2), return_exceptions=True)
    return [str(one) for one in got]


@saga(name="bodies.group")
async def groups() -> Any:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(echo(n)) for n in range(5)]
    return [task.result() for task in tasks]


@saga(name="bodies.group_error")
async def groups_error() -> Any:
    seen: list[str] = []
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(breaks(1))
            group.create_task(sleep(3_600))
    except* Fatal as errors:
        seen += [type(error).__name__ for error in errors.exceptions]
    return seen


@saga(name="bodies.as_completed")
async def as_completed() -> Any:
    return sorted([await one for one in asyncio.as_completed([echo(n) for n in range(5)])])


@saga(name="bodies.queue")
async def queues() -> Any:
    queue: asyncio.Queue[int | None] = asyncio.Queue(maxsize=2)

    async def produce() -> None:
        for number in range(5):
            await queue.put(await echo(number))
        await queue.put(None)

    producing = asyncio.create_task(produce())
    got = []
    while (item := await queue.get()) is not None:
        got.append(item)
    await producing
    return got


@saga(name="bodies.semaphore")
async def semaphores() -> Any:
    places, busy, most = asyncio.Semaphore(2), 0, 0

    async def one(number: int) -> int:
        nonlocal busy, most
        async with places:
            busy += 1
            most = max(most, busy)
            await echo(number)
            busy -= 1
        return most

    return max(await asyncio.gather(*(one(n) for n in range(6))))


@saga(name="bodies.lock")
async def locks() -> Any:
    lock, order = asyncio.Lock(), list[str]()

    async def one(number: int) -> None:
        async with lock:
            order.append(f"in {number}")
            await echo(number)
            order.append(f"out {number}")

    await asyncio.gather(one(1), one(2))
    return order


@saga(name="bodies.event")
async def events() -> Any:
    event = asyncio.Event()

    async def waits() -> str:
        await event.wait()
        return "seen"

    waiting = asyncio.create_task(waits())
    await echo(1)
    event.set()
    return await waiting


@saga(name="bodies.timeout")
async def times_out() -> Any:
    try:
        async with asyncio.timeout(0.05):
            await sleep(3_600)
    except TimeoutError:
        return "timed out"


@saga(name="bodies.wait_for")
async def waits_for() -> Any:
    got = await asyncio.wait_for(echo(1), 60)
    try:
        await asyncio.wait_for(sleep(3_600), 0.05)
    except TimeoutError:
        return got


@saga(name="bodies.finally")
async def in_finally() -> Any:
    try:
        try:
            await breaks(1)
        finally:
            await echo(2)
    except Exception as error:  # noqa: BLE001 - which it is, is the question
        return [type(error).__name__, await echo(3)]


@saga(name="bodies.generator")
async def generators() -> Any:
    async def numbers() -> AsyncIterator[int]:
        for number in range(3):
            yield await echo(number)

    return [number async for number in numbers()]


CASES: list[tuple[Saga[[], Any], Any]] = [
    (gathers, list(range(20))),
    (gathers_errors, ["1", "2"]),
    (groups, [0, 1, 2, 3, 4]),
    (groups_error, ["Fatal"]),
    (as_completed, [0, 1, 2, 3, 4]),
    (queues, [0, 1, 2, 3, 4]),
    (semaphores, 2),
    (locks, ["in 1", "out 1", "in 2", "out 2"]),
    (events, "seen"),
    (times_out, "timed out"),
    (waits_for, 1),
    (in_finally, ["Fatal", 3]),
    (generators, [0, 1, 2]),
]


@on_a_loop
async def test_asyncio_works_in_a_body(database_url: str) -> None:
    """Section 2, Bodies: gather, groups, wait, timeout, Queue, Semaphore, Lock, Event, finally."""
    async with Coordinator(database_url) as coordinator:
        for body, wanted in CASES:
            run = await coordinator.start(body)
            assert await run.result(30) == wanted, body.name


@on_a_loop
async def test_a_task_left_running_at_the_return_is_cancelled_and_settled(sqlite_url: str) -> None:
    """S27: as in asyncio, what the body left running is cancelled; what it had started is drained first."""
    ends: list[str] = []

    @step
    async def slow() -> None:
        await asyncio.sleep(0.05)
        ends.append("slow")

    @saga
    async def body() -> str:
        async def child() -> None:
            try:
                await slow()
            finally:
                ends.append("child")

        kept = asyncio.create_task(child())
        await echo(1)
        del kept
        return "returned"

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(body)
        assert await run.result(30) == "returned"
        assert ends == ["child", "slow"]
        assert (await kinds(run)).count(Kind.ABANDONED) == 1


@on_a_loop
async def test_a_body_that_waits_for_nothing_parks(sqlite_url: str) -> None:
    """L1: no step, timer or message can come: a person has to look."""

    @saga
    async def body() -> None:
        await asyncio.Event().wait()

    async with Coordinator(sqlite_url) as coordinator:
        assert "can never come" in str(await parked(await coordinator.start(body)))


@on_a_loop
async def test_an_endless_loop_parks_and_the_others_go_on(sqlite_url: str) -> None:
    """L3, section 2: a turn of more than N callbacks parks the run."""

    @saga
    async def endless() -> None:
        while True:  # noqa: ASYNC110 - on purpose
            await asyncio.sleep(0)

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(endless)
        assert "endless loop" in str(await parked(run))
        assert await (await coordinator.start(groups)).result(30) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("wait", [0.0, -1.0, dt.timedelta(0), dt.timedelta(seconds=-5)])
@on_a_loop
async def test_a_sleep_of_nothing_returns_at_once(sqlite_url: str, wait: Any) -> None:
    """Section 2: as `asyncio.sleep` does."""

    @saga
    async def body() -> bool:
        before = now()
        await sleep(wait)
        return now() == before

    assert await result_of(sqlite_url, body) is True


@on_a_loop
async def test_two_sleeps_that_end_together_end_in_the_order_they_began(sqlite_url: str) -> None:
    """Section 3, Order: equal times fire by number."""
    clock = Clock()

    @saga
    async def body() -> list[int]:
        order: list[int] = []

        async def one(number: int) -> None:
            await sleep(60)
            order.append(number)

        await asyncio.gather(*(one(n) for n in range(5)))
        return order

    async with Coordinator(sqlite_url, clock=clock) as coordinator:
        run = await coordinator.start(body)
        await coordinator.run_until_idle()
        assert await run.status() is Status.WAITING
        clock.move(dt.timedelta(seconds=60))
        await coordinator.run_until_idle()
        assert await run.result(10) == [0, 1, 2, 3, 4]


@on_a_loop
async def test_a_coroutine_that_is_never_awaited_harms_nobody(sqlite_url: str) -> None:
    """Section 2: a step that is called and not awaited isn't executed."""

    @saga
    async def body() -> str:
        call = echo(1)
        call.close()
        return "done"

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(body)
        assert await ended(run) is Status.COMPLETED
        assert await kinds(run) == [Kind.ENDED]
