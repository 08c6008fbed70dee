"""Compensations: in order, with their own policy, pinned by name and version, never skipped."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from amends.sagas import Coordinator, DefinitionError, Run, Status, Step, Undo, saga, step
from amends.sagas.journal import Kind
from amends.sagas.registry import HANDLERS
from tests.sagas.running import AT_ONCE, ONCE, ended, failure, on_a_loop, parked, recorded


def reserve_step(done: list[str], name: str = "compensations.reserve", **options: Any) -> Step[[str], str]:
    """Define a step that writes down what it does and what is undone; a word with "stuck" can't be undone."""

    @step(name=name)
    async def reserve(what: str) -> str:
        done.append(what)
        return what

    @reserve.compensation(name=f"{name}.undo", retry=AT_ONCE, **options)
    async def release(undo: Undo[str], what: str) -> None:
        done.append(f"-{what}")
        if "stuck" in what:
            raise ConnectionError(what)

    return reserve


@on_a_loop
async def test_effects_are_undone_in_reverse_and_branches_before_what_precedes_them(
    database_url: str,
) -> None:
    """S7: what began after an outcome was delivered is settled before that effect is undone."""
    done: list[str] = []
    reserve = reserve_step(done)

    @saga
    async def body() -> None:
        await reserve("a")
        await asyncio.gather(reserve("b1"), reserve("b2"))
        await reserve("c")
        raise ValueError

    async with Coordinator(database_url) as coordinator:
        assert await ended(await coordinator.start(body)) is Status.COMPENSATED
    undone = done[4:]
    assert undone[0] == "-c"
    assert set(undone[1:3]) == {"-b1", "-b2"}
    assert undone[3:] == ["-a"]


@on_a_loop
async def test_a_compensation_that_fails_for_good_parks_and_says_what_is_owed(database_url: str) -> None:
    """S12: what is ordered after it waits, unrelated siblings go on, nothing is swallowed."""
    done: list[str] = []
    reserve = reserve_step(done)

    @saga
    async def body() -> None:
        await reserve("a")
        await asyncio.gather(reserve("stuck"), reserve("b"))
        raise ValueError("why")

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(body)
        why = await parked(run)
        assert await run.status() is Status.PARKED
    assert done.count("-stuck") == 3
    assert "-b" in done
    assert "-a" not in done
    assert "failed for good" in str(why)
    assert "still owed: compensations.reserve (2), compensations.reserve (1)" in str(why)
    assert isinstance(why.error, ValueError)


@on_a_loop
async def test_a_compensation_that_fails_beside_a_going_body_parks_the_run_at_its_end(
    sqlite_url: str,
) -> None:
    """S12, S27: the body gets on with what it can, and the run doesn't pretend to be complete."""
    done: list[str] = []
    reserve = reserve_step(done)
    hold = asyncio.Event()

    @step
    async def slow() -> None:
        await hold.wait()

    @saga
    async def body() -> str:
        tasks = [asyncio.create_task(reserve("stuck")), asyncio.create_task(reserve("b"))]
        _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await slow()
        return "done"

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(body)
        stuck = await recorded(run, Kind.UNDO_FAILED, Kind.UNDONE) is Kind.UNDO_FAILED
        assert await run.status() is Status.RUNNING
        hold.set()
        if stuck:
            assert "compensations.reserve" in str(await parked(run))
        else:
            assert await run.result(30) == "done"


@on_a_loop
async def test_an_abandoned_step_is_undone_before_the_run_completes(database_url: str) -> None:
    """S27: the loser of a race is drained, and undone beside the body."""
    done: list[str] = []
    reserve = reserve_step(done)
    hold = asyncio.Event()

    @step
    async def slow(what: str) -> str:
        await hold.wait()
        done.append(what)
        return what

    @slow.compensation
    async def unslow(undo: Undo[str], what: str) -> None:
        done.append(f"-{what} {undo.cause} {undo.outcome}")

    @saga
    async def body() -> str:
        tasks = [asyncio.create_task(slow("slow")), asyncio.create_task(reserve("fast"))]
        finished, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        return finished.pop().result()

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(body)
        await recorded(run, Kind.ABANDONED)
        assert await run.status() is Status.RUNNING
        hold.set()
        assert await run.result(30) == "fast"
    assert done == ["fast", "slow", "-slow abandoned landed"]


@on_a_loop
async def test_what_was_undone_beside_the_body_is_not_undone_again(sqlite_url: str) -> None:
    """S27, S9: the run fails later, and each compensation has run once."""
    done: list[str] = []
    reserve = reserve_step(done)

    @step(name="compensations.pay", retry=ONCE)
    async def pay() -> None:
        raise ConnectionError

    @pay.compensation(name="compensations.unpay")
    async def unpay(undo: Undo[None]) -> None:
        done.append("-pay")

    @saga
    async def body() -> None:
        await reserve("a")
        try:
            await pay()
        except ConnectionError:
            done.append("told")
        await reserve("b")
        raise ValueError

    async with Coordinator(sqlite_url) as coordinator:
        assert await ended(await coordinator.start(body)) is Status.COMPENSATED
    assert done == ["a", "-pay", "told", "b", "-b", "-a"]


@on_a_loop
async def test_a_compensation_missing_everywhere_parks_the_run_until_somebody_has_it(
    database_url: str,
) -> None:
    """S21: never skipped; a worker that has it takes the run up again by itself."""
    done: list[str] = []
    reserve = reserve_step(done, "compensations.gone")
    compensation = reserve.current_compensation
    assert compensation is not None

    @step(retry=ONCE)
    async def breaks() -> None:
        HANDLERS._items.pop(compensation.handler)  # noqa: SLF001 - as a deployment without it would
        raise ValueError

    @saga
    async def body() -> None:
        await reserve("a")
        await breaks()

    async with Coordinator(database_url) as coordinator:
        run: Run[None] = await coordinator.start(body, id="a")
        assert "'compensations.gone.undo@1' is defined in no worker" in str(await parked(run))
    assert done == ["a"]
    reserve_step(done, "compensations.gone")
    async with Coordinator(database_url) as coordinator:
        assert await ended(await coordinator.get("a")) is Status.COMPENSATED
    assert done == ["a", "-a"]


@on_a_loop
async def test_a_run_keeps_the_version_of_the_compensation_that_it_recorded(sqlite_url: str) -> None:
    """S8, section 3: name and version are in the record; a newer one serves new runs."""
    done: list[str] = []
    hold = asyncio.Event()
    reserve = reserve_step(done, "compensations.versioned")

    @step(name="compensations.waits", retry=ONCE)
    async def waits() -> None:
        await hold.wait()
        raise ValueError

    @saga
    async def body() -> None:
        await reserve("a")
        await waits()

    async with Coordinator(sqlite_url) as coordinator:
        old = await coordinator.start(body)
        await recorded(old, Kind.LANDED)

        @reserve.compensation(name="compensations.versioned.undo", version="2")
        async def release_anew(undo: Undo[str], what: str) -> None:
            done.append(f"-{what} anew")

        hold.set()
        await failure(old)
        assert done == ["a", "-a"]
        await failure(await coordinator.start(body))
    assert done == ["a", "-a", "a", "-a anew"]


WRONG = [lambda: None, lambda _: None, lambda _, __, ___, ____: None]


@pytest.mark.parametrize("wrong", WRONG, ids=["none", "too few", "too many"])
def test_a_compensation_with_other_parameters_is_refused(wrong: Any) -> None:
    """Section 2: it gets `undo` and then the step's arguments; a mismatch is found at decoration."""

    @step(name="compensations.two")
    async def two(a: int, b: int) -> None: ...

    with pytest.raises(DefinitionError, match=r"takes .* parameters"):
        two.compensation(wrong)


@on_a_loop
async def test_a_sync_compensation_runs_in_a_thread(sqlite_url: str) -> None:
    """Section 2: sync functions run in a thread pool, forward and backward."""
    import threading  # noqa: PLC0415 - only here

    names: list[str] = []

    @step
    def does() -> None:
        names.append(threading.current_thread().name)

    @does.compensation
    def undoes(undo: Undo[None]) -> None:
        names.append(threading.current_thread().name)

    @saga
    async def body() -> None:
        await does()
        raise ValueError

    async with Coordinator(sqlite_url) as coordinator:
        await failure(await coordinator.start(body))
    assert all(name.startswith("amends-step") for name in names)
    assert len(names) == 2


@on_a_loop
async def test_a_compensation_can_have_no_new_effects_that_nobody_would_undo(sqlite_url: str) -> None:
    """S22: a step called in a compensation is refused, and the run parked; its plain function isn't."""
    done: list[str] = []
    reserve = reserve_step(done)
    plainly = [False]

    @step(name="compensations.books")
    async def books() -> None: ...

    @books.compensation(name="compensations.unbooks", retry=AT_ONCE)
    async def unbooks(undo: Undo[None]) -> None:
        await (reserve.fn("plainly") if plainly[0] else reserve("new"))

    @saga
    async def body() -> None:
        await books()
        raise ValueError

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(body)
        await parked(run)
        assert [
            e for e in await run.journal() if b"compensation 'compensations.unbooks'" in (e.payload or b"")
        ]
        plainly[0] = True
        await coordinator.operator("ann").retry(run.id, 1)
        assert await ended(run) is Status.COMPENSATED
    assert done == ["plainly"]
