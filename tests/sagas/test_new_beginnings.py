"""`continue_as_new`: the body begins anew, the run stays one (section 2, Runs)."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt

import pytest

from amends.sagas import (
    Coordinator,
    DefinitionError,
    InputInvalid,
    OutsideRun,
    Status,
    Undo,
    continue_as_new,
    current_step,
    random,
    replaying,
    saga,
    savepoint,
    sleep,
    step,
)
from amends.sagas.journal import Kind
from tests.sagas.running import ONCE, Clock, ended, failure, kinds, on_a_loop, parked

DONE: list[str] = []
KEYS: list[str] = []
TROUBLE: set[str] = set()
BEGUN: list[tuple[int, bool]] = []
"""With which input a body began, and whether it was replayed."""


@pytest.fixture(autouse=True)
def _anew() -> None:
    for each in (DONE, KEYS, TROUBLE, BEGUN):
        each.clear()


@step(name="anew.handle", retry=ONCE)
async def handle(page: int) -> int:
    if str(page) in TROUBLE:
        raise ValueError(page)
    DONE.append(str(page))
    KEYS.append(current_step().idempotency_key)
    return page + 1


@handle.compensation(name="anew.unhandle")
async def unhandle(undo: Undo[int], page: int) -> None:
    DONE.append(f"-{page}")


@saga(name="anew.pages")
async def pages(page: int, last: int = 3) -> str:
    BEGUN.append((page, replaying()))
    following = await handle(page)
    await sleep(dt.timedelta(hours=1))
    if page < last:
        await continue_as_new(following, last)
    return f"{page} pages"


@on_a_loop
async def test_the_body_begins_anew_with_the_new_input(database_url: str) -> None:
    """The run keeps its id and journal; every step has a key of its own (S20's reason)."""
    clock = Clock()
    async with Coordinator(database_url, clock=clock) as coordinator:
        run = await coordinator.start(pages, 0, 3, id="pages")
        for _ in range(4):
            await coordinator.run_until_idle()
            clock.move(dt.timedelta(hours=1))
        await coordinator.run_until_idle()
        assert await run.result(30) == "3 pages"
        assert (await kinds(run)).count(Kind.FLOOR) == 3
    assert DONE == ["0", "1", "2", "3"]
    assert len(set(KEYS)) == 4


@on_a_loop
async def test_replay_begins_at_the_last_new_beginning(database_url: str) -> None:
    """Woken from each sleep, the body never runs again with an input of before."""
    clock = Clock()
    async with Coordinator(database_url, clock=clock) as coordinator:
        await coordinator.start(pages, 0, 2, id="pages")
        for _ in range(4):
            await coordinator.run_until_idle()
            clock.move(dt.timedelta(hours=1))
    assert BEGUN == [(0, False), (0, True), (1, False), (1, True), (2, False), (2, True)]


@on_a_loop
async def test_undoing_reads_the_whole_journal(database_url: str) -> None:
    """S3, S7: what was done before a new beginning is owed like the rest, and undone after it."""
    TROUBLE.add("2")

    @saga(name="anew.at_once")
    async def at_once(page: int) -> None:
        await continue_as_new(await handle(page))

    async with Coordinator(database_url) as coordinator:
        assert await ended(await coordinator.start(at_once, 0)) is Status.COMPENSATED
    assert DONE == ["0", "1", "-2", "-1", "-0"]


@on_a_loop
async def test_random_numbers_differ_from_one_beginning_to_the_next_and_replay(sqlite_url: str) -> None:
    drawn: list[float] = []

    @saga(name="anew.draws")
    async def draws(left: int) -> None:
        drawn.append(random().random())
        await sleep(dt.timedelta(hours=1))
        if left:
            await continue_as_new(left - 1)

    clock = Clock()
    async with Coordinator(sqlite_url, clock=clock) as coordinator:
        await coordinator.start(draws, 1, id="draws")
        for _ in range(3):
            await coordinator.run_until_idle()
            clock.move(dt.timedelta(hours=1))
    first, again, second, twice = drawn
    assert (first, second) == (again, twice)
    assert first != second


@on_a_loop
async def test_a_new_beginning_waits_for_what_was_abandoned(sqlite_url: str) -> None:
    """S27: what the body no longer waits for is settled first."""
    release = asyncio.Event()

    @step(name="anew.slow")
    async def slow() -> None:
        await release.wait()
        DONE.append("slow")

    @slow.compensation(name="anew.unslow")
    async def unslow(undo: Undo[None]) -> None:
        DONE.append("-slow")

    @saga(name="anew.hasty")
    async def hasty(left: int) -> None:
        if not left:
            await handle(7)
            return
        try:
            async with asyncio.timeout(0.05):
                await slow()
        except TimeoutError:
            await continue_as_new(left - 1)

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(hasty, 1)
        while Kind.ABANDONED not in await kinds(run):  # noqa: ASYNC110 - another process could write it
            await asyncio.sleep(0.01)
        assert Kind.FLOOR not in await kinds(run)
        release.set()
        await run.result(30)
    assert DONE == ["slow", "-slow", "7"]


@on_a_loop
async def test_while_something_is_under_way_it_is_refused(sqlite_url: str) -> None:
    """Section 2: steps, children and tasks must have ended; savepoints too."""

    @saga(name="anew.busy")
    async def busy(how: str) -> None:
        async def leave() -> None:
            await continue_as_new("")

        if how == "step":
            async with asyncio.TaskGroup() as group:
                group.create_task(handle(1))
                await continue_as_new("")
        elif how == "task":
            group_of_one = asyncio.ensure_future(leave())
            await group_of_one
        elif how == "savepoint":
            async with savepoint():
                await continue_as_new("")

    async with Coordinator(sqlite_url) as coordinator:
        for how, words in (("step", "under way"), ("task", "task of its own"), ("savepoint", "savepoint")):
            error = (await failure(await coordinator.start(busy, how))).error
            if isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            assert isinstance(error, DefinitionError)
            assert words in str(error)


@on_a_loop
async def test_input_that_does_not_fit_is_the_bodys_error(sqlite_url: str) -> None:
    @saga(name="anew.unfit")
    async def unfit(number: int) -> None:
        await continue_as_new("seven")

    async with Coordinator(sqlite_url) as coordinator:
        assert isinstance((await failure(await coordinator.start(unfit, 7))).error, InputInvalid)


@on_a_loop
async def test_a_body_that_only_ever_begins_anew_is_parked(sqlite_url: str) -> None:
    """Section 2, Bodies: an endless loop harms its own run alone."""

    @saga(name="anew.spins")
    async def spins(number: int) -> None:
        await continue_as_new(number + 1)

    async with Coordinator(sqlite_url) as coordinator:
        assert "EndlessTurn" in str(await parked(await coordinator.start(spins, 0)))


@on_a_loop
async def test_outside_a_body_there_is_nothing_to_begin(sqlite_url: str) -> None:
    with pytest.raises(OutsideRun):
        await continue_as_new(1)


@on_a_loop
async def test_a_new_beginning_that_was_cancelled_never_comes(database_url: str) -> None:
    """The body goes on as it was, also when it is replayed meanwhile."""
    release = asyncio.Event()

    @step(name="anew.lasting", timeout=dt.timedelta(seconds=2))
    async def lasting() -> None:
        await release.wait()

    @lasting.compensation(name="anew.unlasting")
    async def unlasting(undo: Undo[None]) -> None: ...

    @saga(name="anew.wavers")
    async def wavers(left: int) -> int:
        if not left:
            return await handle(7)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await lasting()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                await continue_as_new(left - 1)
        return await handle(1)

    async with Coordinator(database_url, grace=dt.timedelta(0)) as coordinator:
        run = await coordinator.start(wavers, 1, id="wavers")
        while (await kinds(run)).count(Kind.FIRED) < 2:  # noqa: ASYNC110 - another process could write it
            await asyncio.sleep(0.01)
    release.set()
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.get("wavers")
        assert await run.result(50) == 2
        assert Kind.FLOOR not in await kinds(run)
    assert DONE == ["1"]
