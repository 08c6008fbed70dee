"""The point of no return: before a pivot a run can be undone, after it it goes forward (S14)."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from amends.sagas import (
    Coordinator,
    DefinitionError,
    Fatal,
    Landed,
    NoEffect,
    NotLanded,
    Retry,
    Status,
    Undo,
    saga,
    step,
)
from amends.sagas.journal import Kind
from tests.sagas.running import AT_ONCE, Clock, Gate, ended, failure, kinds, on_a_loop, parked, recorded

DONE: list[str] = []
"""What the steps have done, in order; each test begins anew."""


@pytest.fixture(autouse=True)
def _nothing_done() -> None:
    DONE.clear()


@step(name="pivots.reserve")
async def reserve(what: str) -> str:
    DONE.append(what)
    return what


@reserve.compensation(name="pivots.release")
async def release(undo: Undo[str], what: str) -> None:
    DONE.append(f"-{what}")


class Refused(NoEffect):
    """The participant refused."""


def paying(*outcomes: Any, **options: Any) -> Callable[[], Any]:
    """Give a pivot whose attempts end one after the other as told: an error, a gate, or a result."""
    left = list(outcomes)

    @step(name="pivots.pay", effect="pivot", retry=AT_ONCE, **options)
    async def pay() -> str:
        outcome = left.pop(0) if left else "paid"
        if isinstance(outcome, Gate):
            await outcome.wait()
            outcome = "paid"
        if isinstance(outcome, Exception):
            raise outcome
        DONE.append(str(outcome))
        return str(outcome)

    return pay


@on_a_loop
async def test_a_pivot_that_is_refused_lets_the_run_be_undone(database_url: str) -> None:
    """S14: before the pivot has landed there is a way back."""
    pay = paying(Refused("no money"))

    @saga(name="pivots.refused")
    async def body() -> str:
        await reserve("goods")
        return str(await pay())

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(body)
        assert (await failure(run)).status == Status.COMPENSATED
    assert DONE == ["goods", "-goods"]


@on_a_loop
async def test_an_error_after_the_pivot_parks_the_run_and_undoes_nothing(database_url: str) -> None:
    """S14: after it has landed there is no automatic way back."""
    pay = paying()

    @saga(name="pivots.fails_after")
    async def body() -> str:
        await reserve("goods")
        await pay()
        raise ValueError("no stamps")

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(body)
        told = await parked(run)
        assert "stuck forward" in str(told)
        assert "no stamps" in str(told)
    assert DONE == ["goods", "paid"]


@on_a_loop
async def test_a_step_after_the_pivot_that_fails_for_good_parks_until_a_person_has_said_more(
    database_url: str,
) -> None:
    """S14: later steps retry without bound or park, stuck forward; the body sees no such error."""
    pay, seen = paying(), []

    @step(name="pivots.label", retry=AT_ONCE)
    async def label() -> None:
        DONE.append("label")
        raise OSError("out of paper")

    @saga(name="pivots.tail_fails")
    async def body() -> None:
        await pay()
        try:
            await label()
        except Exception as error:  # noqa: BLE001 - it must see none
            seen.append(error)

    async with Coordinator(database_url) as coordinator:
        told = str(await parked(await coordinator.start(body)))
    assert "stuck forward" in told
    assert "'pivots.label'" in told
    assert ["paid", *["label"] * 3] == DONE
    assert seen == []


@on_a_loop
async def test_a_refusal_after_the_pivot_is_the_bodys_to_handle(database_url: str) -> None:
    """S2, S14: evidence that nothing happened is an answer, and the body may go another way."""
    pay = paying()

    @step(name="pivots.text", no_effect=(LookupError,))
    async def text() -> None:
        raise LookupError("no number")

    @saga(name="pivots.other_way")
    async def body() -> str:
        await pay()
        try:
            await text()
        except LookupError:
            return "posted"
        return "texted"

    async with Coordinator(database_url) as coordinator:
        assert await (await coordinator.start(body)).result() == "posted"


@on_a_loop
async def test_a_retriable_step_is_tried_until_it_succeeds(database_url: str) -> None:
    """S14: what comes after the pivot is retried without bound, whatever its policy's number says."""
    pay, attempts = paying(), []

    @step(name="pivots.ship", effect="retriable", retry=Retry(attempts=1, wait=dt.timedelta(0)))
    async def ship() -> int:
        attempts.append(1)
        if len(attempts) < 20:
            raise ConnectionError("busy")
        return len(attempts)

    @saga(name="pivots.ships")
    async def body() -> int:
        await pay()
        return await ship()

    async with Coordinator(database_url) as coordinator:
        assert await (await coordinator.start(body)).result() == 20


@on_a_loop
async def test_a_retriable_step_that_gives_up_parks_its_run(sqlite_url: str) -> None:
    """S14: `Fatal` ends the attempts, and then only a person can say how to go on."""
    pay = paying()

    @step(name="pivots.gives_up", effect="retriable")
    async def gives_up() -> None:
        raise Fatal("never")

    @saga(name="pivots.given_up")
    async def body() -> None:
        await pay()
        await gives_up()

    async with Coordinator(sqlite_url) as coordinator:
        assert "stuck forward" in str(await parked(await coordinator.start(body)))


@on_a_loop
async def test_a_pivot_of_unknown_outcome_is_resolved_before_anything_follows(database_url: str) -> None:
    """S14: pivot unknown, resolve first; neither the body nor a cancel may take it for failed."""
    pay = paying(OSError("?"), OSError("?"), OSError("?"))

    @saga(name="pivots.unknown")
    async def body() -> str:
        await reserve("goods")
        return str(await pay())

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(body)
        assert "nobody knows whether 'pivots.pay' (2) landed" in str(await parked(run))
        await run.cancel()
        await coordinator.run_until_idle()
        assert "'pivots.pay' (2)" in str(await parked(run))
        assert Kind.SWITCH not in await kinds(run)
    assert DONE == ["goods"]


@pytest.mark.parametrize(("answer", "end"), [("paid", Status.COMPLETED), (Refused("no"), Status.COMPENSATED)])
@on_a_loop
async def test_a_cancel_waits_for_a_pivot_under_way(database_url: str, answer: Any, end: Status) -> None:
    """S14: landed, and the cancel is refused and audited; not landed, and it is done."""
    gate = Gate()

    @step(name="pivots.slow", effect="pivot", retry=AT_ONCE)
    async def slow() -> str:
        await gate.wait()
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    @saga(name="pivots.cancelled")
    async def body() -> str:
        await reserve("goods")
        return str(await slow())

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(body)
        await gate.reached.wait()
        await run.cancel()
        await recorded(run, Kind.CANCEL)
        assert Kind.SWITCH not in await kinds(run)
        gate.opened.set()
        assert await ended(run) is end
    assert (["goods"] if end is Status.COMPLETED else ["goods", "-goods"]) == DONE


@on_a_loop
async def test_a_deadline_missed_after_the_pivot_is_recorded_and_the_run_goes_on(sqlite_url: str) -> None:
    """S14: the missed deadline is on record, the run goes forward."""
    clock, pay = Clock(), paying()

    @step(name="pivots.tail", effect="retriable", retry=Retry(wait=dt.timedelta(hours=2)))
    async def tail() -> str:
        DONE.append("tail")
        if DONE.count("tail") == 1:
            raise OSError("later")
        return "shipped"

    @saga(name="pivots.late", deadline=dt.timedelta(hours=1))
    async def body() -> str:
        await pay()
        return await tail()

    async with Coordinator(sqlite_url, clock=clock) as coordinator:
        run = await coordinator.start(body)
        await coordinator.run_until_idle()
        for _ in range(2):
            clock.move(dt.timedelta(hours=1))
            await coordinator.run_until_idle()
        assert await run.result() == "shipped"
        assert (await kinds(run)).count(Kind.OVERDUE) == 1


@on_a_loop
async def test_a_pivot_behind_what_nobody_can_undo_is_refused(sqlite_url: str) -> None:
    """S14: a step before the pivot has a compensation, is a read, or is declared irreversible."""
    pay = paying()

    @step(name="pivots.plain")
    async def plain() -> None:
        DONE.append("plain")

    @saga(name="pivots.misplaced")
    async def body() -> None:
        await plain()
        await pay()

    async with Coordinator(sqlite_url) as coordinator:
        error = (await failure(await coordinator.start(body))).error
    assert isinstance(error, DefinitionError)
    assert "'pivots.plain', called before it," in str(error)
    assert DONE == ["plain"]


@pytest.mark.parametrize("effect", ["pivot", "retriable"])
def test_what_goes_one_way_takes_no_compensation(effect: str) -> None:
    """S14, known at definition."""
    with pytest.raises(DefinitionError, match="can't be compensated"):
        step(name="pivots.no", effect=effect, on_unknown="compensate")

    @step(name=f"pivots.one_way_{effect}", effect=effect)
    async def one_way() -> None: ...

    with pytest.raises(DefinitionError, match="takes no compensation"):

        @one_way.compensation
        async def back(undo: Undo[None]) -> None: ...


@on_a_loop
async def test_a_probe_says_what_became_of_a_pivot(database_url: str) -> None:
    """S2, S14: absent, so it is tried again; found, so the run goes on with what it found."""
    answers: list[Landed[str] | NotLanded] = [NotLanded(), Landed("found")]

    async def look() -> Landed[str] | NotLanded:
        DONE.append("look")
        found: Landed[str] | NotLanded = answers.pop(0)
        return found

    pay = paying(OSError("?"), OSError("?"), on_unknown=look)

    @saga(name="pivots.probed")
    async def body() -> str:
        return str(await pay())

    async with Coordinator(database_url) as coordinator:
        assert await (await coordinator.start(body)).result() == "found"
    assert DONE == ["look", "look"]


@step(
    name="pivots.patient",
    effect="pivot",
    retry=Retry(attempts=3, wait=dt.timedelta(hours=2), on=ValueError),
    no_effect=(ValueError,),
)
async def patient() -> None:
    raise ValueError("not now")


@saga(name="pivots.impatient")
async def impatient() -> str:
    try:
        async with asyncio.timeout(3_600):
            await patient()
    except TimeoutError:
        pass
    return "without it"


@on_a_loop
async def test_a_cancel_that_waited_for_a_pivot_comes_when_the_body_gives_it_up(database_url: str) -> None:
    """S14, S16: given up and not landed, so there is a way back; the end that follows at once loses to it."""
    clock = Clock()
    async with Coordinator(database_url, clock=clock) as coordinator:
        run = await coordinator.start(impatient, id="i")
        await coordinator.run_until_idle()
        await run.cancel()
        await coordinator.run_until_idle()
        assert Kind.SWITCH not in await kinds(run)
        clock.move(dt.timedelta(hours=1))
        await coordinator.run_until_idle()
        assert await ended(run) is Status.CANCELLED
