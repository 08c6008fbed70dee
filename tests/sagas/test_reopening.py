"""Closing and opening again, two coordinators on one database, coordinators that only ask."""

from __future__ import annotations

import asyncio
import datetime as dt
import threading

import pytest

from amends.sagas import Coordinator, CoordinatorClosed, Retry, Status, Undo, saga, sleep, step
from amends.sagas.journal import Kind
from tests.sagas.running import ONCE, Clock, Gate, ended, kinds, on_a_loop

SHORT = dt.timedelta(seconds=0.05)


@on_a_loop
async def test_a_step_under_way_is_let_end_when_the_coordinator_closes(database_url: str) -> None:
    """Section 2, Runs: steps in flight drain; what came of them isn't done again."""
    gate = Gate()
    done: list[str] = []

    @step
    async def first() -> int:
        await gate.wait()
        done.append("first")
        return 1

    @step
    async def second() -> int:
        done.append("second")
        return 2

    @saga
    async def body() -> list[int]:
        return [await first(), await second()]

    async with Coordinator(database_url) as coordinator:
        await coordinator.start(body, id="a")
        await gate.reached.wait()
        asyncio.get_running_loop().call_later(0.05, gate.opened.set)
    assert done == ["first"]
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.get("a")
        assert await run.result(30) == [1, 2]
        assert Kind.LOST not in await kinds(run)
    assert done == ["first", "second"]


@on_a_loop
async def test_a_step_that_outlives_the_grace_is_tried_again_with_its_key(database_url: str) -> None:
    """S2, section 2: cut short is unknown; it doesn't count as an attempt of the policy's."""
    clock = Clock()
    gate = Gate()
    calls: list[int] = []

    @step(retry=ONCE)
    async def slow() -> int:
        calls.append(1)
        if len(calls) == 1:
            await gate.wait()
        return len(calls)

    @saga
    async def body() -> int:
        return await slow()

    async with Coordinator(database_url, grace=SHORT, clock=clock) as coordinator:
        await coordinator.start(body, id="a")
        await gate.reached.wait()
    async with Coordinator(database_url, clock=clock) as coordinator:
        run = await coordinator.get("a")
        assert await run.result(30) == 2
        assert await kinds(run) == [Kind.INTENT, Kind.LOST, Kind.LANDED, Kind.ENDED]


@on_a_loop
async def test_a_read_that_fails_while_the_coordinator_closes_fails_no_run(sqlite_url: str) -> None:
    """Section 2, Runs: leaving the block never harms a run; the read is made again at the next start."""
    gate = Gate()
    calls: list[int] = []

    @step(effect="read", retry=Retry(attempts=5, wait=dt.timedelta(0)))
    async def look() -> str:
        calls.append(1)
        if len(calls) == 1:
            await gate.wait()
            raise ConnectionError
        return "seen"

    @saga
    async def body() -> str:
        return await look()

    async with Coordinator(sqlite_url) as coordinator:
        await coordinator.start(body, id="a")
        await gate.reached.wait()
        asyncio.get_running_loop().call_later(0.05, gate.opened.set)
    async with Coordinator(sqlite_url) as coordinator:
        assert await (await coordinator.get("a")).result(30) == "seen"


@on_a_loop
async def test_a_step_that_fails_while_the_coordinator_closes_keeps_its_attempts(sqlite_url: str) -> None:
    """Section 2, Retry: an attempt that fails during the grace is an attempt like any other."""
    gate = Gate()
    calls: list[int] = []

    @step(retry=Retry(attempts=2, wait=dt.timedelta(0)))
    async def flaky() -> str:
        calls.append(1)
        if len(calls) == 1:
            await gate.wait()
            raise ConnectionError
        return "done"

    @saga
    async def body() -> str:
        return await flaky()

    async with Coordinator(sqlite_url) as coordinator:
        await coordinator.start(body, id="a")
        await gate.reached.wait()
        asyncio.get_running_loop().call_later(0.05, gate.opened.set)
    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.get("a")
        assert await run.result(30) == "done"
        assert await kinds(run) == [Kind.INTENT, Kind.RETRY, Kind.LANDED, Kind.ENDED]


@on_a_loop
async def test_compensating_goes_on_after_the_coordinator_was_closed(database_url: str) -> None:
    """S10: compensating can be stopped anywhere and goes on from the journal alone."""
    gate = Gate()
    done: list[str] = []

    @step
    async def reserve(what: str) -> str:
        return what

    @reserve.compensation(retry=ONCE)
    async def release(undo: Undo[str], what: str) -> None:
        done.append(what)
        if what == "b" and len(done) == 1:
            await gate.wait()

    @saga
    async def body() -> None:
        await reserve("a")
        await reserve("b")
        raise ValueError

    async with Coordinator(database_url, grace=SHORT) as coordinator:
        await coordinator.start(body, id="a")
        await gate.reached.wait()
    async with Coordinator(database_url) as coordinator:
        assert await ended(await coordinator.get("a")) is Status.COMPENSATED
    assert done == ["b", "b", "a"]


@on_a_loop
async def test_a_thread_that_outlives_its_coordinator_harms_nobody(sqlite_url: str) -> None:
    """Faults: a sync step can't be stopped; the coordinator doesn't wait for it for ever."""
    free = threading.Event()
    reached = threading.Event()

    @step(timeout=dt.timedelta(seconds=0.3))
    def hangs() -> int:
        reached.set()
        free.wait(30)
        return 1

    @saga
    async def body() -> int:
        return await hangs()

    async with Coordinator(sqlite_url, grace=SHORT) as coordinator:
        await coordinator.start(body, id="a")
        await asyncio.to_thread(reached.wait, 30)
    free.set()
    async with Coordinator(sqlite_url) as coordinator:
        assert await (await coordinator.get("a")).result(30) == 1


@on_a_loop
async def test_leaving_the_block_by_an_error_cancels_no_run(sqlite_url: str) -> None:
    """Section 2, Runs: Ctrl-C, or leaving the block by an error, never cancels a run."""

    @saga
    async def body() -> int:
        await sleep(0.05)
        return 1

    async def leaves() -> None:
        async with Coordinator(sqlite_url) as coordinator:
            await coordinator.start(body, id="a")
            raise KeyError

    with pytest.raises(KeyError):
        await leaves()
    async with Coordinator(sqlite_url) as coordinator:
        assert await (await coordinator.get("a")).result(30) == 1


@on_a_loop
async def test_whoever_waits_when_the_coordinator_closes_is_told(sqlite_url: str) -> None:
    """House style 4: nobody is left waiting for what can't come any more."""

    @saga
    async def body() -> None:
        await sleep(dt.timedelta(days=1))

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(body)
        waiting = asyncio.create_task(run.result())
        await coordinator.run_until_idle()
    with pytest.raises(CoordinatorClosed):
        await waiting


@on_a_loop
async def test_a_coordinator_closed_at_any_moment_loses_nothing(sqlite_url: str) -> None:
    """Faults: closing at random moments: nothing fails because of it, and nothing is done twice over."""
    done: list[int] = []

    @step
    async def does(number: int) -> int:
        await asyncio.sleep(0.001)
        done.append(number)
        return number

    @saga
    async def body() -> list[int]:
        return [await does(number) for number in range(10)]

    for turn in range(12):
        async with Coordinator(sqlite_url) as coordinator:
            await coordinator.start(body, id="a")
            for _ in range(turn * 2):
                await asyncio.sleep(0)
    async with Coordinator(sqlite_url) as coordinator:
        assert await (await coordinator.get("a")).result(30) == list(range(10))
    assert done == list(range(10))
