"""The point of no return of a child run is one for all runs above it (S14)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from amends.sagas import (
    Coordinator,
    DefinitionError,
    NoEffect,
    Retry,
    Status,
    Undo,
    receive,
    saga,
    savepoint,
    step,
)
from amends.sagas.handle import Run
from amends.sagas.journal import Kind, Said
from tests.sagas.running import ONCE, Gate, ended, failure, kinds, on_a_loop, parked, recorded

DONE: list[str] = []
TROUBLE: set[str] = set()
GATES: dict[str, Gate] = {}


@pytest.fixture(autouse=True)
def _anew() -> None:
    for each in (DONE, TROUBLE, GATES):
        each.clear()


class Refused(NoEffect):
    """The participant refused."""


async def _done(what: str) -> str:
    if what in GATES:
        await GATES[what].wait()
    if what in TROUBLE:
        raise Refused(what)
    DONE.append(what)
    return what


@step(name="below.reserve", retry=ONCE)
async def reserve(what: str) -> str:
    return await _done(what)


@reserve.compensation(name="below.release")
async def release(undo: Undo[str], what: str) -> None:
    DONE.append(f"-{what}")


@step(name="below.note", retry=ONCE)
async def note(what: str) -> str:
    return await _done(what)


@step(name="below.pay", effect="pivot", retry=Retry(attempts=1))
async def pay() -> str:
    return await _done("money")


@saga(name="below.paying")
async def paying() -> str:
    await reserve("goods")
    return await pay()


@saga(name="below.selling")
async def selling() -> str:
    await reserve("place")
    await paying()
    return await reserve("van")


@saga(name="below.shop")
async def shop() -> str:
    await reserve("door")
    return await selling()


async def said(run: Run[Any]) -> list[str]:
    """Give what a run's journal holds of its children's pivots."""
    return [entry.meta["said"] for entry in await run.journal() if entry.kind is Kind.CHILD]


@on_a_loop
async def test_every_run_above_waits_for_a_pivot_and_is_past_it_then(database_url: str) -> None:
    """S14, S1: on record everywhere above before the pivot is executed."""
    gate = GATES["money"] = Gate()
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(shop, id="shop")
        await gate.reached.wait()
        for run_id in ("shop", "shop/2"):
            assert await said(await coordinator.get(run_id)) == [Said.ASKS, Said.GRANTED]
        gate.opened.set()
        assert await run.result(30) == "van"
        assert await said(run) == [Said.ASKS, Said.GRANTED, Said.PIVOTED]
        assert "point of no return" in ((await coordinator.undo_plan("shop")).refused or "")


@on_a_loop
async def test_a_cancel_above_waits_for_the_pivot_and_is_refused_when_it_landed(database_url: str) -> None:
    """S14, S16: the run goes forward; the refusal is audited."""
    gate = GATES["money"] = Gate()
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(shop, id="shop")
        await gate.reached.wait()
        await run.cancel()
        await recorded(run, Kind.CANCEL)
        gate.opened.set()
        assert await run.result(30) == "van"
        assert "cancel refused" in [row.action for row in await run.audit()]
    assert DONE == ["door", "place", "goods", "money", "van"]


@on_a_loop
async def test_a_cancel_above_goes_on_when_the_pivot_is_refused(database_url: str) -> None:
    """S14: the pivot didn't land, so there is a way back."""
    gate = GATES["money"] = Gate()
    TROUBLE.add("money")
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(shop, id="shop")
        await gate.reached.wait()
        await run.cancel()
        await recorded(run, Kind.CANCEL)
        gate.opened.set()
        assert await ended(run) is Status.COMPENSATED
    assert DONE == ["door", "place", "goods", "-goods", "-place", "-door"]


@on_a_loop
async def test_a_pivot_that_is_due_after_the_decision_above_is_never_executed(database_url: str) -> None:
    """S14, S4: what asks too late is called off with the rest."""
    gate = GATES["goods"] = Gate()
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(shop, id="shop")
        await gate.reached.wait()
        await run.cancel()
        await recorded(run, Kind.SWITCH)
        gate.opened.set()
        assert await ended(run) is Status.COMPENSATED
    assert DONE == ["door", "place", "goods", "-goods", "-place", "-door"]


@on_a_loop
async def test_a_run_that_fails_behind_a_pivot_below_is_stuck_forward(database_url: str) -> None:
    """S14: no automatic way back, for the run above neither."""
    TROUBLE.add("van")
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(selling, id="shop")
        assert "stuck forward" in str(await parked(run))
        assert Kind.SWITCH not in await kinds(run)
        assert await (await coordinator.get("shop/2")).status() is Status.COMPLETED
    assert DONE == ["place", "goods", "money"]


@on_a_loop
async def test_a_pivot_in_a_child_that_was_called_in_a_savepoint_is_refused(sqlite_url: str) -> None:
    """S14: what is there to be undone can't pass a point of no return, at any depth."""

    @saga(name="below.protected")
    async def protected() -> None:
        async with savepoint():
            await shop()

    async with Coordinator(sqlite_url) as coordinator:
        error = await failure(await coordinator.start(protected, id="safe"))
    assert isinstance(error.error, DefinitionError)
    assert "run 'safe' above it called this one inside a savepoint" in str(error.error)
    assert DONE == ["door", "place", "goods", "-goods", "-place", "-door"]


@on_a_loop
async def test_what_stays_above_stands_in_the_way_of_a_pivot_below(sqlite_url: str) -> None:
    """S14: if the pivot failed, the plain effect of the run above would stay."""

    @saga(name="below.careless")
    async def careless() -> None:
        await note("letter")
        await paying()

    async with Coordinator(sqlite_url) as coordinator:
        error = await failure(await coordinator.start(careless))
    assert isinstance(error.error, DefinitionError)
    assert "'below.note', called before it" in str(error.error)


@on_a_loop
async def test_what_stays_of_a_child_stands_in_the_way_of_a_pivot_after_it(sqlite_url: str) -> None:
    """S14, the other way round, also after a replay."""

    @saga(name="below.noting")
    async def noting() -> None:
        await note("letter")

    @saga(name="below.late")
    async def late() -> None:
        await noting()
        await asyncio.sleep(3)
        await pay()

    async with Coordinator(sqlite_url) as coordinator:
        error = await failure(await coordinator.start(late))
    assert isinstance(error.error, DefinitionError)
    assert "'below.noting', called before it" in str(error.error)


@on_a_loop
async def test_a_pivot_that_waits_for_its_word_survives_the_worker(database_url: str) -> None:
    """S14, S10: parent and child with different workers, one of them away for a while."""
    async with Coordinator(database_url, sagas=[paying]):
        async with Coordinator(database_url, sagas=[selling]) as above:
            GATES["goods"] = gate = Gate()
            await above.start(selling, id="shop")
            await gate.reached.wait()
        gate.opened.set()
        async with Coordinator(database_url, work=False) as watching:
            await recorded(await watching.get("shop/2"), Kind.LANDED)
            assert "money" not in DONE
        async with Coordinator(database_url, sagas=[selling]) as above:
            assert await (await above.get("shop")).result(30) == "van"
    assert DONE == ["place", "goods", "money", "van"]


@on_a_loop
async def test_a_cancel_that_comes_behind_the_question_finds_the_body_there(database_url: str) -> None:
    """S14, L1: both wait in the inbox for a worker; the pivot is let go, and the run goes forward."""
    async with Coordinator(database_url, sagas=[paying]) as below:
        async with Coordinator(database_url, sagas=[selling]) as above:
            run = await above.start(selling, id="shop")
            await recorded(run, Kind.LANDED)
        child = await below.get("shop/2")
        await recorded(child, Kind.LANDED)
        await (await below.get("shop")).cancel()
        async with Coordinator(database_url, sagas=[selling]) as above:
            assert await (await above.get("shop")).result(30) == "van"
    assert DONE == ["place", "goods", "money", "van"]


@step(name="below.pay_again", effect="pivot")
async def pay_again() -> str:
    return await _done("more money")


@on_a_loop
async def test_a_child_that_was_called_off_behind_its_pivot_goes_forward_to_the_next(
    database_url: str,
) -> None:
    """S14, L1: it can't be undone any more, so its next pivot is let go too."""
    gate = GATES["money"] = Gate()

    @saga(name="below.twice")
    async def twice() -> None:
        await pay()
        await pay_again()

    @saga(name="below.impatient")
    async def impatient() -> str:
        buying = asyncio.create_task(twice())
        await receive(str, name="enough")
        buying.cancel()
        try:
            await buying
        except asyncio.CancelledError:
            return "gave up"
        return ""

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(impatient, id="shop")
        await gate.reached.wait()
        await coordinator.signal("shop", "enough", "!")
        await recorded(run, Kind.ABANDONED)
        gate.opened.set()
        assert await run.result(30) == "gave up"
        assert await (await coordinator.get("shop/1")).status() is Status.COMPLETED
    assert DONE == ["money", "more money"]
