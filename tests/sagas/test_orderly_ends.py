"""Workers that end in good order, and steps that end in bad: nothing is lost, doubled or left hanging."""

from __future__ import annotations

import asyncio
import datetime as dt
import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from amends.sagas import Coordinator, Status, StepFailed, StepTimeout, Undo, saga, sleep, step
from amends.sagas.journal import Entry, Kind
from tests.sagas.running import AT_ONCE, ONCE, Gate, ended, failure, kinds, on_a_loop, recorded

DONE: list[str] = []
GATES: dict[str, Gate] = {}


@pytest.fixture(autouse=True)
def _anew() -> None:
    DONE.clear()
    GATES.clear()


@step(name="orderly.book", retry=ONCE)
async def book(what: str) -> str:
    gate = GATES.get(what)
    if gate is not None:
        await gate.wait()
    DONE.append(what)
    return what


@book.compensation(name="orderly.unbook")
async def unbook(undo: Undo[str], what: str) -> None:
    DONE.append(f"-{what}")


@saga(name="orderly.pair")
async def pair() -> list[str]:
    return [*await asyncio.gather(branch("a"), branch("b")), await book("end")]


async def branch(name: str) -> str:
    await book(name)
    return await book(f"{name} again")


@on_a_loop
async def test_siblings_that_land_while_the_coordinator_closes_replay_in_their_order(
    database_url: str,
) -> None:
    """Section 3: what the body asks for between two outcomes is on record between them."""
    GATES.update(a=Gate(), b=Gate())
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(pair)
        for name in "ab":
            await GATES[name].reached.wait()
            asyncio.get_running_loop().call_later(0.05, GATES[name].opened.set)
    async with Coordinator(database_url) as coordinator:
        assert await (await coordinator.get(run.id)).result(30) == ["a again", "b again", "end"]
    assert sorted(DONE) == ["a", "a again", "b", "b again", "end"]


@on_a_loop
async def test_an_attempt_that_the_application_cancels_may_have_landed(database_url: str) -> None:
    """S2, S3: `asyncio.run` cancels every task at an exit; then a cancel finds the run, and undoes it."""

    @step(name="orderly.lands", timeout=dt.timedelta(milliseconds=300))
    async def lands() -> None:
        DONE.append("F")
        await GATES["lands"].wait()

    @lands.compensation(name="orderly.unlands")
    async def unlands(undo: Undo[None]) -> None:
        DONE.append("C")

    @saga(name="orderly.landing")
    async def landing() -> None:
        await lands()

    GATES["lands"] = Gate()
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(landing)
        await GATES["lands"].reached.wait()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            if "_execute" in repr(task):
                task.cancel()
        await asyncio.sleep(0)
    async with Coordinator(database_url, work=False) as coordinator:
        await coordinator.cancel(run.id)
    async with Coordinator(database_url) as coordinator:
        assert await ended(await coordinator.get(run.id)) is Status.COMPENSATED
    assert DONE == ["F", "C"]


@on_a_loop
async def test_an_outcome_that_meets_a_cancel_while_the_coordinator_closes_is_kept(sqlite_url: str) -> None:
    """S3, S5, S16: the last turn is beaten by the cancel, and nobody here can load the run again."""

    @step(name="orderly.beaten", timeout=dt.timedelta(milliseconds=300))
    async def beaten() -> None:
        await GATES["beaten"].wait()
        DONE.append("F")

    @beaten.compensation(name="orderly.unbeaten")
    async def unbeaten(undo: Undo[None]) -> None:
        DONE.append("C")

    @saga(name="orderly.beating")
    async def beating() -> None:
        await beaten()

    gate = GATES["beaten"] = Gate()
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(beating)
        await gate.reached.wait()
        other.execute("BEGIN IMMEDIATE")
        gate.opened.set()
        while not DONE:  # noqa: ASYNC110 - the step's own loop is this one
            await asyncio.sleep(0)
        other.execute(
            "INSERT INTO amends_inbox (run_id, number, key, kind, at, meta, taken)"
            " VALUES (?, 1, 'cancel', 'cancel', ?, '{}', 0)",
            (run.id, int(time.time() * 1_000)),
        )
        other.execute("UPDATE amends_runs SET mail = 1")
        asyncio.get_running_loop().call_later(0.2, other.execute, "COMMIT")
    async with Coordinator(sqlite_url) as coordinator:
        assert await ended(await coordinator.get(run.id)) is Status.COMPENSATED
    assert DONE == ["F", "C"]


@on_a_loop
async def test_waiting_for_a_thread_is_not_running(database_url: str) -> None:
    """S6, S9: a sync step's time begins when its call does, and none begins after its compensation."""

    @step(name="orderly.threads", timeout=dt.timedelta(seconds=1), retry=ONCE)
    def threads(number: int) -> int:
        time.sleep(0.3)
        DONE.append(f"F{number}")
        return number

    @threads.compensation(name="orderly.unthreads")
    def unthreads(undo: Undo[int], number: int) -> None:
        DONE.append(f"C{number}")

    @saga(name="orderly.threading")
    async def threading_() -> list[int]:
        return await asyncio.gather(*(threads(number) for number in range(6)))

    async with Coordinator(database_url, threads=1) as coordinator:
        assert await (await coordinator.start(threading_)).result(30) == list(range(6))
    assert sorted(DONE) == [f"F{number}" for number in range(6)]


@on_a_loop
async def test_what_waits_for_a_thread_when_the_worker_closes_is_as_if_never_asked_for(
    sqlite_url: str,
) -> None:
    """S2: only what began may have landed."""
    hold = threading.Event()

    @step(name="orderly.holds", retry=ONCE)
    def holds(number: int) -> None:
        hold.wait(10)
        DONE.append(f"F{number}")

    @holds.compensation(name="orderly.unholds")
    def unholds(undo: Undo[None], number: int) -> None:
        DONE.append(f"C{number}")

    @saga(name="orderly.holding")
    async def holding() -> None:
        await asyncio.gather(holds(1), holds(2))

    async with Coordinator(sqlite_url, threads=1) as coordinator:
        run = await coordinator.start(holding)
        await recorded(run, Kind.INTENT)
        asyncio.get_running_loop().call_later(0.1, hold.set)
    assert DONE == ["F1"]
    async with Coordinator(sqlite_url, threads=1) as coordinator:
        await (await coordinator.get(run.id)).result(30)
    assert DONE == ["F1", "F2"]


class Evil(Exception):
    """An error that fights back."""

    def __str__(self) -> str:
        raise SystemExit(3)


def deep() -> Any:
    """Give groups in groups, deeper than Python's stack."""
    error: Any = ValueError("inside")
    for _ in range(3_000):
        error = ExceptionGroup("g", [error])
    return error


@pytest.mark.parametrize("what", ["cancels itself", "swallows", "evil", "deep", "stops", "interrupts"])
@on_a_loop
async def test_whatever_becomes_of_an_attempt_it_is_told(sqlite_url: str, what: str) -> None:
    """L2: every attempt is reported, and its run goes on."""

    @step(name="orderly.strange", retry=ONCE, timeout=dt.timedelta(milliseconds=200))
    async def strange() -> None:
        if what == "cancels itself":
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(1)
        if what == "swallows":
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await GATES["swallows"].wait()
        if what == "interrupts":
            raise KeyboardInterrupt
        raise Evil if what == "evil" else deep()

    @step(name="orderly.strange_in_thread", retry=ONCE)
    def strange_in_thread() -> None:
        raise StopIteration

    @saga(name="orderly.strange_body")
    async def body(*, stops: bool = what == "stops") -> str:
        try:
            await (strange_in_thread() if stops else strange())
        except (StepFailed, Evil, ExceptionGroup) as error:
            return type(error).__name__
        return "nothing"

    GATES["swallows"] = Gate()
    async with Coordinator(sqlite_url, grace=dt.timedelta(0)) as coordinator:
        told = await (await coordinator.start(body)).result(30)
    assert told == {"swallows": StepTimeout.__name__, "deep": "ExceptionGroup", "evil": "Evil"}.get(
        what, "StepFailed"
    )


@on_a_loop
async def test_a_body_that_interrupts_fails_its_run_and_no_process(sqlite_url: str) -> None:
    """S26, L3."""

    @saga(name="orderly.interrupts")
    async def interrupts() -> None:
        await book("a")
        raise KeyboardInterrupt

    async with Coordinator(sqlite_url) as coordinator:
        assert (await failure(await coordinator.start(interrupts))).status == Status.COMPENSATED
        assert await (await coordinator.start(pair)).result(30)


async def items() -> AsyncIterator[int]:
    try:
        for number in range(2):
            yield number
    finally:
        await book("closed")


@pytest.mark.parametrize("how", ["cancelled", "dormant"])
@on_a_loop
async def test_a_generator_of_a_closed_body_does_nothing(sqlite_url: str, how: str) -> None:
    """Section 3: eviction is invisible, in an async generator's `finally` too."""

    @saga(name=f"orderly.iterates_{how}")
    async def iterates() -> str:
        async for number in items():
            await sleep(3_600 if how == "cancelled" else 1.2)
            DONE.append(str(number))
        return "ok"

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(iterates)
        if how == "cancelled":
            await coordinator.cancel(run.id)
            assert await ended(run) is Status.CANCELLED
            assert DONE == []
        else:
            assert await run.result(30) == "ok"
            assert DONE.count("closed") == 1
            assert (await kinds(run)).count(Kind.INTENT) == 1


@on_a_loop
async def test_a_compensation_that_can_not_be_prepared_is_retried_and_then_parked(sqlite_url: str) -> None:
    """S12, S26: whatever the application's types raise when they are decoded."""
    broken: list[bool] = []

    @dataclass
    class Fragile:
        number: int

        def __post_init__(self) -> None:
            if broken:
                raise TypeError("changed code")

    @step(name="orderly.fragile")
    async def fragile() -> Fragile:
        return Fragile(1)

    @fragile.compensation(name="orderly.unfragile", retry=AT_ONCE)
    async def unfragile(undo: Undo[Fragile]) -> None:
        DONE.append("C")

    @step(name="orderly.breaks", retry=ONCE)
    async def breaks() -> None:
        broken.append(True)
        raise ValueError

    @saga(name="orderly.fragile_body")
    async def body() -> None:
        await fragile()
        await breaks()

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(body)
        assert await ended(run) is Status.PARKED
        assert (await kinds(run)).count(Kind.UNDO_RETRY) == 2


@on_a_loop
async def test_a_start_that_crosses_the_claim_of_its_own_run_holds_it(database_url: str) -> None:
    """S17, L1: a worker that starts again has just claimed what was started while it was away."""
    for number in range(6):
        name = f"crossing-{number}"
        async with Coordinator(database_url, work=False) as coordinator:
            await coordinator.start(pair, id=name)
        async with Coordinator(database_url) as coordinator:
            for _ in range(number * 3):
                await asyncio.sleep(0)
            run = await coordinator.start(pair, id=name)
            assert await run.result(10) == ["a again", "b again", "end"]


def test_what_a_person_types_is_recorded_whatever_its_bytes() -> None:
    """L3: a lone surrogate in a reason harms nobody."""
    row = Entry(1, Kind.CANCEL, 0, meta={"reason": "caf\udce9"}).to_row("a")
    assert row.meta == '{"reason":"caf\\udce9"}'
