"""A turn inside an application's own loop, as a coordinator makes it."""

import asyncio
import gc
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from amends.sagas.loop import EndlessTurn
from tests.loop.driving import Driven


async def body(run: Driven) -> None:
    task = asyncio.current_task()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        for name in "ab":
            group.create_task(run.step(name))
    run.log.append((asyncio.get_running_loop() is run.loop, asyncio.current_task() is task))


def drive(run: Driven) -> None:
    run.begin(body)
    run.land("b")
    run.land("a")


DONE = ["call a", "call b", (True, True)]


def test_turn_works_without_another_loop() -> None:
    drive(run := Driven())

    assert run.log == DONE


def test_turn_works_from_a_callback_of_another_loop() -> None:
    run = Driven()

    async def application() -> None:
        loop = asyncio.get_running_loop()
        over = loop.create_future()
        loop.call_soon(drive, run)
        loop.call_soon(lambda: over.set_result(asyncio.current_task()))
        assert await over is None
        assert asyncio.get_running_loop() is loop

    asyncio.run(application())
    assert run.log == DONE


def test_turn_works_from_a_task_of_another_loop() -> None:
    run = Driven()

    async def application() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        drive(run)
        assert (asyncio.get_running_loop(), asyncio.current_task()) == (loop, task)
        async with asyncio.timeout(60):
            await asyncio.sleep(0)

    asyncio.run(application())
    assert run.log == DONE


@pytest.mark.parametrize("raised", [KeyboardInterrupt, EndlessTurn])
def test_turn_that_raises_gives_the_application_its_loop_back(raised: type[BaseException]) -> None:
    async def failing(_run: Driven) -> None:
        while raised is EndlessTurn:  # noqa: ASYNC110 - the point of it
            await asyncio.sleep(0)
        raise raised

    async def application() -> None:
        loop, task, hooks = asyncio.get_running_loop(), asyncio.current_task(), sys.get_asyncgen_hooks()
        run = Driven(max_callbacks=100)
        with pytest.raises(raised):
            run.begin(failing)
        run.loop.shut()
        assert (asyncio.get_running_loop(), asyncio.current_task()) == (loop, task)
        assert sys.get_asyncgen_hooks() == hooks
        await asyncio.sleep(0)

    asyncio.run(application())


def test_shut_works_from_a_task_of_another_loop() -> None:
    run = Driven()

    async def tidy(run: Driven) -> None:
        task = asyncio.current_task()
        try:
            await run.step("a")
        finally:
            run.log.append((asyncio.get_running_loop() is run.loop, asyncio.current_task() is task))

    async def application() -> None:
        task = asyncio.current_task()
        run.begin(tidy)
        run.loop.shut()
        assert asyncio.current_task() is task
        await asyncio.sleep(0)

    asyncio.run(application())
    assert run.log == ["call a", (True, True)]


def test_bodies_of_many_runs_interleave_with_the_application() -> None:
    runs = [Driven() for _ in range(20)]

    async def application() -> None:
        for run in runs:
            run.begin(body)
        for name in "ab":
            for run in runs:
                run.land(name)
                await asyncio.sleep(0)

    asyncio.run(application())
    assert [run.log for run in runs] == [DONE] * 20


def test_generator_left_by_a_body_never_reaches_the_application() -> None:
    run = Driven()

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            run.log.append(asyncio.get_running_loop() is run.loop)

    async def leaves(_run: Driven) -> None:
        async for _ in numbers():
            break

    async def application() -> None:
        scheduled = []

        def factory(loop: asyncio.AbstractEventLoop, coro: Any, **_options: Any) -> asyncio.Task[Any]:
            scheduled.append(coro)
            return asyncio.Task(coro, loop=loop)

        asyncio.get_running_loop().set_task_factory(factory)
        run.begin(leaves)
        gc.collect()
        await asyncio.sleep(0)
        assert run.log == []
        run.loop.shut()
        gc.collect()
        await asyncio.sleep(0)
        assert scheduled == []

    asyncio.run(application())
    assert run.log == [True]


def test_application_keeps_its_generator_hooks() -> None:
    run = Driven()
    closed = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            closed.append(asyncio.get_running_loop())

    async def application() -> None:
        run.begin(body)
        async for _ in numbers():
            break
        gc.collect()
        for _ in range(3):
            await asyncio.sleep(0)
        assert closed == [asyncio.get_running_loop()]
        run.loop.shut()

    asyncio.run(application())
