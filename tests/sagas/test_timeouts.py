"""Time-outs of attempts: async ones are cancelled, threads go on and are believed late."""

from __future__ import annotations

import asyncio
import datetime as dt
import threading

import pytest

from amends.sagas import Coordinator, Retry, Status, StepTimeout, Undo, saga, step
from amends.sagas.journal import Kind
from tests.sagas.running import AT_ONCE, ONCE, ended, failure, kinds, on_a_loop, parked, recorded, result_of

SOON = dt.timedelta(seconds=0.05)


@on_a_loop
async def test_an_async_attempt_that_takes_too_long_is_cancelled(database_url: str) -> None:
    """Section 2: `timeout=` is per attempt; the outcome is unknown, so it is tried again."""
    ends: list[str] = []

    @step(timeout=SOON, retry=AT_ONCE)
    async def slow() -> int:
        if len(ends) == 2:
            return 7
        try:
            await asyncio.sleep(600)
        finally:
            ends.append("cancelled")
        return 0

    @saga
    async def body() -> int:
        return await slow()

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(body)
        assert await run.result(30) == 7
        assert ends == ["cancelled", "cancelled"]
        retry = (await run.journal())[1]
        assert (retry.kind, retry.meta["outcome"]) == (Kind.RETRY, "unknown")


@on_a_loop
async def test_the_last_time_out_reaches_the_body_as_step_timeout(sqlite_url: str) -> None:
    """S2: a time-out is no evidence; the error says which attempt, and how long."""

    @step(timeout=SOON, retry=ONCE)
    async def slow() -> None:
        await asyncio.sleep(600)

    @saga
    async def body() -> str:
        try:
            await slow()
        except StepTimeout as error:
            return str(error)
        return ""

    assert "took longer than 0.05 s" in await result_of(sqlite_url, body)


@on_a_loop
async def test_a_step_that_timed_out_is_undone_since_it_may_have_landed(sqlite_url: str) -> None:
    """S2, S3: no answer in time is no evidence that nothing happened."""
    told: list[str] = []

    @step(timeout=SOON, retry=ONCE)
    async def slow() -> None:
        await asyncio.sleep(600)

    @slow.compensation
    async def unslow(undo: Undo[None]) -> None:
        told.append(undo.outcome)

    @saga
    async def body() -> None:
        await slow()

    async with Coordinator(sqlite_url) as coordinator:
        assert await ended(await coordinator.start(body)) is Status.COMPENSATED
    assert told == ["unknown"]


@on_a_loop
async def test_a_step_that_ignores_its_cancellation_has_the_last_word(sqlite_url: str) -> None:
    """S2: what a step returns at last has landed, time-out or not."""

    @step(timeout=SOON, retry=ONCE)
    async def stubborn() -> int:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            return 5
        return 0

    @saga
    async def body() -> int:
        return await stubborn()

    assert await result_of(sqlite_url, body) == 5


@on_a_loop
async def test_a_thread_that_ends_after_its_time_out_is_late_evidence(sqlite_url: str) -> None:
    """S5: its effect landed; the next attempt is waited for all the same, and the run is right."""
    free = threading.Event()
    second = asyncio.Event()
    loop = asyncio.get_running_loop()
    calls: list[int] = []

    @step(timeout=dt.timedelta(seconds=0.2), retry=AT_ONCE)
    def slow() -> int:
        calls.append(1)
        if len(calls) == 1:
            free.wait(30)
            return 1
        loop.call_soon_threadsafe(second.set)
        free.wait(30)
        return 2

    @saga
    async def body() -> int:
        return await slow()

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(body)
        await second.wait()
        free.set()
        assert await run.result(30) == 2
        assert (await kinds(run)).count(Kind.LATE) <= 1


@on_a_loop
async def test_a_run_goes_on_and_ends_although_a_thread_of_its_never_ended(sqlite_url: str) -> None:
    """S5, S13: an outcome that comes twice, or never, doesn't keep a run from its end."""
    free = threading.Event()
    undone: list[str] = []

    @step(timeout=SOON, retry=ONCE)
    def hangs() -> None:
        free.wait(30)

    @hangs.compensation
    def unhang(undo: Undo[None]) -> None:
        undone.append(undo.outcome)

    @saga
    async def body() -> None:
        await hangs()

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(body)
        assert await ended(run) is Status.COMPENSATED
        free.set()
    assert undone == ["unknown"]


@on_a_loop
async def test_a_thread_that_lands_after_it_was_undone_parks_the_run(sqlite_url: str) -> None:
    """S5: evidence that F landed after C needs a person."""
    free = threading.Event()
    hold = asyncio.Event()

    @step(timeout=SOON, retry=ONCE)
    def hangs() -> None:
        free.wait(30)

    @hangs.compensation
    def unhang(undo: Undo[None]) -> None: ...

    @step
    async def waits() -> None:
        await hold.wait()

    @saga
    async def body() -> None:
        try:
            await hangs()
        except StepTimeout:
            await waits()

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(body)
        await recorded(run, Kind.UNDONE)
        free.set()
        await recorded(run, Kind.LATE)
        hold.set()
        assert "landed after it had been undone" in str(await parked(run))


@on_a_loop
async def test_a_step_that_cancels_itself_is_unknown_not_lost(sqlite_url: str) -> None:
    """S2: a cancellation in mid-call is an unknown outcome like any other."""
    count = 0

    @step(retry=AT_ONCE)
    async def odd() -> int:
        nonlocal count
        count += 1
        if count == 1:
            raise asyncio.CancelledError
        return count

    @saga
    async def body() -> int:
        return await odd()

    assert await result_of(sqlite_url, body) == 2


@pytest.mark.parametrize("timeout", [dt.timedelta(0), dt.timedelta(seconds=-1)])
def test_a_time_out_of_nothing_is_refused(timeout: dt.timedelta) -> None:
    """House style 5: an option that can't work is refused at decoration."""
    with pytest.raises(Exception, match="timeout"):
        step(timeout=timeout, retry=Retry())


@on_a_loop
async def test_an_attempt_does_not_outlive_its_deadline_by_waiting_for_a_place(sqlite_url: str) -> None:
    """`max_steps`: the time-out begins when the attempt does, not when it was asked for."""

    @step(timeout=dt.timedelta(seconds=5), retry=ONCE)
    async def short() -> None:
        await asyncio.sleep(0.01)

    @saga
    async def body() -> int:
        await asyncio.gather(*(short() for _ in range(30)))
        return 30

    assert await result_of(sqlite_url, body, max_steps=1) == 30


@on_a_loop
async def test_a_failed_compensation_attempt_times_out_too(sqlite_url: str) -> None:
    """S9, S12: a compensation has its own time-out and policy."""
    calls: list[int] = []

    @step
    async def does() -> int:
        return 1

    @does.compensation(timeout=SOON, retry=AT_ONCE)
    async def undoes(undo: Undo[int]) -> None:
        calls.append(1)
        if len(calls) < 3:
            await asyncio.sleep(600)

    @saga
    async def body() -> None:
        await does()
        raise ValueError

    async with Coordinator(sqlite_url) as coordinator:
        failed = await failure(await coordinator.start(body))
    assert failed.status == "compensated"
    assert len(calls) == 3
