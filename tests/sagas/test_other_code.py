"""Runs that other code may go on with: parked for non-determinism, and tried again by themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from amends.sagas import Coordinator, Retry, Saga, Status, saga, step
from amends.sagas.deployed import code_of
from amends.sagas.journal import Kind
from tests.sagas.running import ONCE, Gate, kinds, on_a_loop, parked, recorded

DONE: list[str] = []
GATES: list[Gate] = []


@pytest.fixture(autouse=True)
def _anew() -> None:
    DONE.clear()
    GATES[:] = [Gate()]


@step(name="code.does")
async def does(what: str) -> str:
    DONE.append(what)
    return what


@step(name="code.waits", retry=ONCE)
async def waits() -> None:
    await GATES[0].wait()


def first() -> Saga[[], Any]:
    @saga(name="code.body")
    async def body() -> list[str]:
        before = await does("a")
        await waits()
        return [before, await does("end")]

    return body


def second() -> Saga[[], Any]:
    @saga(name="code.body")
    async def body() -> list[str]:
        before = await does("b")
        await waits()
        return [before, await does("end")]

    return body


def third() -> Saga[[], Any]:
    @saga(name="code.body")
    async def body() -> list[str]:
        before = await does("a")
        await waits()
        return [before, await does("other end")]

    return body


async def begun(url: str, define: Callable[[], Saga[[], Any]]) -> None:
    """Start a run and leave it in the middle."""
    async with Coordinator(url) as coordinator:
        run = await coordinator.start(define(), id="a")
        await recorded(run, Kind.LANDED)
        asyncio.get_running_loop().call_later(0.05, GATES[0].opened.set)


@on_a_loop
async def test_a_run_parked_for_non_determinism_goes_on_under_code_that_fits(database_url: str) -> None:
    """Section 3: under other code it is tried again by itself; under the same code it isn't."""
    await begun(database_url, first)
    second()
    for _ in range(2):
        async with Coordinator(database_url) as coordinator:
            run = await coordinator.get("a")
            await parked(run)
            await coordinator.run_until_idle()
            assert (await kinds(run)).count(Kind.PARKED) == 1
    third()
    async with Coordinator(database_url) as coordinator:
        assert await (await coordinator.get("a")).result(30) == ["a", "other end"]
    assert DONE == ["a", "other end"]


@on_a_loop
async def test_a_run_that_still_does_not_fit_is_parked_again(sqlite_url: str) -> None:
    """Each code tries once; what is owed stays on record all the while."""
    await begun(sqlite_url, second)
    for define in (first, third, first):
        define()
        async with Coordinator(sqlite_url) as coordinator:
            run = await coordinator.get("a")
            await coordinator.run_until_idle()
            assert await run.status() is Status.PARKED
    second()
    async with Coordinator(sqlite_url) as coordinator:
        assert await (await coordinator.get("a")).result(30) == ["b", "end"]


def test_the_digest_tells_code_from_code_and_not_where_it_stands() -> None:
    """The same code in another place is the same; another constant, call or helper in the file is not."""
    assert code_of([first()]) == code_of([first()])
    assert len({code_of([define()]) for define in (first, second, third)}) == 3
    assert code_of([first(), does_nothing]) == code_of([does_nothing, first()])


@saga(name="code.nothing")
async def does_nothing() -> None:
    assert Retry().attempts == 3
