"""Savepoints: exactly the steps called in the block are undone, once, and the body goes on (S20)."""

from __future__ import annotations

import asyncio
import datetime as dt

import pytest

from amends.sagas import (
    Coordinator,
    DefinitionError,
    NoEffect,
    RunFailed,
    Status,
    Undo,
    current_step,
    saga,
    savepoint,
    sleep,
    step,
)
from amends.sagas.journal import Kind
from tests.sagas.running import ONCE, Gate, ended, failure, kinds, on_a_loop, parked, recorded

DONE: list[str] = []
KEYS: list[str] = []
TROUBLE: set[str] = set()
GATES: dict[str, Gate] = {}


@pytest.fixture(autouse=True)
def _anew() -> None:
    for each in (DONE, KEYS, TROUBLE, GATES):
        each.clear()


@step(name="savepoints.book", retry=ONCE)
async def book(what: str) -> str:
    if what in GATES:
        await GATES[what].wait()
    if what in TROUBLE:
        raise NoEffect(what)
    DONE.append(what)
    KEYS.append(current_step().idempotency_key)
    return what


@book.compensation(name="savepoints.unbook", retry=ONCE)
async def unbook(undo: Undo[str], what: str) -> None:
    if f"-{what}" in GATES:
        await GATES[f"-{what}"].wait()
    if f"-{what}" in TROUBLE:
        raise OSError(what)
    DONE.append(f"-{what}")


@saga(name="savepoints.second_try")
async def second_try() -> list[str]:
    first = await book("hotel")
    try:
        async with savepoint():
            await book("flight")
            await book("seat")
            await book("full")
    except NoEffect:
        return [first, await book("train"), await book("flight")]
    return []


@on_a_loop
async def test_a_second_attempt_begins_where_nothing_of_the_first_is_left(database_url: str) -> None:
    """S20: the block's steps are undone in reverse, the others stay; the same call again has a new key."""
    TROUBLE.add("full")
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(second_try)
        assert await run.result(30) == ["hotel", "train", "flight"]
        assert (await kinds(run)).count(Kind.ROLLBACK) == 1
    assert DONE == ["hotel", "flight", "seat", "-seat", "-flight", "train", "flight"]
    assert len(set(KEYS)) == 5


@on_a_loop
async def test_what_a_savepoint_undid_is_not_undone_again(database_url: str) -> None:
    """S20, S27: once, also when the run is undone later."""
    TROUBLE.update({"full", "train"})
    async with Coordinator(database_url) as coordinator:
        assert await ended(await coordinator.start(second_try)) is Status.COMPENSATED
    assert DONE == ["hotel", "flight", "seat", "-seat", "-flight", "-hotel"]


@on_a_loop
async def test_a_savepoint_left_well_stays_part_of_the_run(sqlite_url: str) -> None:
    @saga(name="savepoints.well")
    async def well() -> None:
        async with savepoint():
            await book("a")
        await book("b")
        raise ValueError

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(well)
        await failure(run)
        assert Kind.ROLLBACK not in await kinds(run)
    assert DONE == ["a", "b", "-b", "-a"]


@on_a_loop
async def test_savepoints_nest_to_any_depth(database_url: str) -> None:
    """S20: each undoes its own; an error that goes on undoes the next one around."""

    @saga(name="savepoints.nested")
    async def nested() -> str | None:
        await book("0")
        try:
            async with savepoint():
                await book("1")
                try:
                    async with savepoint():
                        await book("2")
                        async with savepoint():
                            await book("3")
                            raise ValueError
                except ValueError:
                    await book("2 again")
                    raise KeyError from None
        except KeyError:
            return await book("end")

    async with Coordinator(database_url) as coordinator:
        assert await (await coordinator.start(nested)).result(30) == "end"
    assert DONE == ["0", "1", "2", "3", "-3", "-2", "2 again", "-2 again", "-1", "end"]


@on_a_loop
async def test_what_an_inner_savepoint_kept_is_undone_with_the_outer_one(sqlite_url: str) -> None:
    """S20: steps belong to every block around them, however well the inner one ended."""

    @saga(name="savepoints.kept")
    async def kept() -> str | None:
        try:
            async with savepoint():
                async with savepoint():
                    await book("1")
                await book("2")
                raise ValueError
        except ValueError:
            return await book("end")

    async with Coordinator(sqlite_url) as coordinator:
        assert await (await coordinator.start(kept)).result(30) == "end"
    assert DONE == ["1", "2", "-2", "-1", "end"]


@on_a_loop
async def test_an_empty_savepoint_costs_no_compensation(sqlite_url: str) -> None:
    @saga(name="savepoints.empty")
    async def empty() -> str | None:
        try:
            async with savepoint(), savepoint():
                raise ValueError
        except ValueError:
            return "through"

    async with Coordinator(sqlite_url) as coordinator:
        assert await (await coordinator.start(empty)).result(30) == "through"


@on_a_loop
async def test_steps_of_tasks_begun_in_the_block_belong_to_it(database_url: str) -> None:
    """S20: by context; siblings that are cut off are drained before they are undone (S6)."""
    TROUBLE.add("full")

    @saga(name="savepoints.tasks")
    async def tasks() -> str:
        try:
            async with savepoint(), asyncio.TaskGroup() as group:
                group.create_task(book("left"))
                group.create_task(book("right"))
                group.create_task(book("full"))
        except* NoEffect:
            pass
        return await book("end")

    async with Coordinator(database_url) as coordinator:
        assert await (await coordinator.start(tasks)).result(30) == "end"
    assert sorted(DONE) == ["-left", "-right", "end", "left", "right"]


@on_a_loop
async def test_a_cancel_inside_the_body_does_not_interrupt_the_undoing(database_url: str) -> None:
    """S20: a time-out around the block that passes while it is undone is felt afterwards."""
    gate = GATES["-slow"] = Gate()
    TROUBLE.add("full")

    @saga(name="savepoints.timed_out")
    async def timed_out() -> str:
        try:
            async with asyncio.timeout(0.2):
                async with savepoint():
                    await book("slow")
                    await book("full")
        except TimeoutError:
            return await book("end")
        return "not timed out"

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(timed_out)
        await gate.reached.wait()
        await recorded(run, Kind.FIRED)
        gate.opened.set()
        assert await run.result(30) == "end"
    assert DONE == ["slow", "-slow", "end"]


@on_a_loop
async def test_a_worker_that_ends_while_a_savepoint_is_undone_is_followed_by_one_that_goes_on(
    database_url: str,
) -> None:
    """S4, S10: the decision about the block is on record; its undoing goes on from the journal."""
    gate = GATES["-flight"] = Gate()
    TROUBLE.add("full")
    async with Coordinator(database_url, grace=dt.timedelta(0)) as coordinator:
        run = await coordinator.start(second_try)
        await gate.reached.wait()
    gate.opened.set()
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.get(run.id)
        assert await run.result(30) == ["hotel", "train", "flight"]
    assert DONE == ["hotel", "flight", "seat", "-seat", "-flight", "train", "flight"]


@on_a_loop
async def test_a_run_cancelled_while_a_savepoint_is_undone_undoes_the_rest(sqlite_url: str) -> None:
    """S9, S11: what is being undone isn't undone twice."""
    gate = GATES["-flight"] = Gate()
    TROUBLE.add("full")
    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(second_try)
        await gate.reached.wait()
        await run.cancel()
        await recorded(run, Kind.SWITCH)
        gate.opened.set()
        assert await ended(run) is Status.COMPENSATED
    assert DONE == ["hotel", "flight", "seat", "-seat", "-flight", "-hotel"]


@on_a_loop
async def test_a_compensation_of_a_savepoint_that_fails_for_good_parks_until_a_person_acts(
    sqlite_url: str,
) -> None:
    """S12, S20: the body doesn't go on before its block is undone, or somebody has waived that."""
    TROUBLE.update({"full", "-flight"})
    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(second_try)
        assert "'savepoints.book'" in str(await parked(run))
        TROUBLE.discard("-flight")
        flight = next(e.ref for e in await run.journal() if b"flight" in (e.payload or b""))
        assert flight is not None
        await coordinator.operator("ann").retry(run.id, flight)
        assert await run.result(30) == ["hotel", "train", "flight"]


@step(name="savepoints.pivot", effect="pivot")
async def pivot() -> None:
    DONE.append("pivot")


@on_a_loop
async def test_misuse_is_an_error_that_says_what_to_do(sqlite_url: str) -> None:
    """S14, S20: a pivot inside, and tasks that outlive the block."""

    @saga(name="savepoints.pivoting")
    async def pivoting() -> None:
        async with savepoint():
            await pivot()

    @saga(name="savepoints.outlived")
    async def outlived() -> None:
        async with savepoint():
            asyncio.ensure_future(book("a"))  # noqa: RUF006 - what is tried here
            await sleep(0)

    @saga(name="savepoints.later")
    async def later() -> None:
        async def wait_and_book() -> None:
            await sleep(0.01)
            await book("late")

        async with savepoint():
            task = asyncio.ensure_future(wait_and_book())
        await task

    async with Coordinator(sqlite_url) as coordinator:
        for body, told in (
            (pivoting, "inside a savepoint"),
            (outlived, "is still under way"),
            (later, "outlived its savepoint"),
        ):
            with pytest.raises(RunFailed) as caught:
                await (await coordinator.start(body)).result(30)
            assert isinstance(caught.value.error, DefinitionError)
            assert told in str(caught.value.error)
    assert "pivot" not in DONE
    assert "late" not in DONE


def test_outside_a_run_it_does_nothing() -> None:
    async def plainly() -> str:
        with pytest.raises(ValueError, match="plain"):
            async with savepoint():
                raise ValueError("plain")
        async with savepoint():
            return await book("plain")

    with pytest.raises(Exception, match="current_step"):
        asyncio.run(plainly())
