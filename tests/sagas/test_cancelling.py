"""Cancelling and deadlines: both compensate; what is under way is drained first."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

import pytest

from amends.sagas import (
    Coordinator,
    InputInvalid,
    Retry,
    RunEnded,
    RunNotFound,
    Status,
    Undo,
    saga,
    sleep,
    step,
)
from amends.sagas.journal import Kind
from tests.sagas.running import Gate, ended, failure, on_a_loop, parked, recorded


@on_a_loop
async def test_a_sleeping_run_is_cancelled_at_once(database_url: str) -> None:
    """S16: a dormant run is a row; the cancel wakes it, and what it has done is undone."""
    done: list[str] = []

    @step
    async def reserve() -> None:
        done.append("reserve")

    @reserve.compensation
    async def release(undo: Undo[None]) -> None:
        done.append(f"release {undo.cause}")

    @saga
    async def body() -> None:
        await reserve()
        try:
            await sleep(dt.timedelta(days=9))
        finally:
            done.append("finally")
            await reserve()

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(body)
        await coordinator.run_until_idle()
        assert await run.status() is Status.WAITING
        del done[1:]
        await run.cancel("changed my mind")
        failed = await failure(run)
        assert (failed.status, failed.cause, failed.error) == ("compensated", "cancel", None)
        cancel = next(entry for entry in await run.journal() if entry.kind is Kind.CANCEL)
        assert cancel.meta["reason"] == "changed my mind"
    assert [word for word in done if word != "finally"] == ["reserve", "release cancel"]


@on_a_loop
async def test_a_cancel_waits_for_what_is_under_way(database_url: str) -> None:
    """S6, section 2: cancelling is not killing: the step ends, then it is undone."""
    gate = Gate()
    done: list[str] = []

    @step
    async def pay() -> str:
        await gate.wait()
        done.append("pay")
        return "paid"

    @pay.compensation
    async def refund(undo: Undo[str]) -> None:
        done.append(f"refund {undo.result} {undo.outcome}")

    @saga
    async def body() -> None:
        await pay()
        done.append("went on")

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(body)
        await gate.reached.wait()
        await run.cancel()
        await recorded(run, Kind.SWITCH)
        assert await run.status() is Status.COMPENSATING
        gate.opened.set()
        assert await ended(run) is Status.COMPENSATED
    assert done == ["pay", "refund paid landed"]


@on_a_loop
async def test_a_cancel_that_meets_the_last_outcome_loses_nothing(database_url: str) -> None:
    """S16, S3: an end loses to an unread cancel, and what the step did is still known."""
    done: list[str] = []

    @saga
    async def body() -> None:
        await pay()

    @step
    async def pay() -> str:
        done.append("pay")
        await coordinator.cancel("a")
        return "paid"

    @pay.compensation
    async def refund(undo: Undo[str]) -> None:
        done.append(f"refund {undo.result}")

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(body, id="a")
        assert await ended(run) is Status.COMPENSATED
    assert done == ["pay", "refund paid"]


@on_a_loop
async def test_cancelling_twice_is_cancelling_once(database_url: str) -> None:
    """S16: cancel while compensating changes nothing; after the end it is refused."""
    gate = Gate()
    done: list[str] = []

    @step
    async def pay() -> None:
        done.append("pay")

    @pay.compensation
    async def refund(undo: Undo[None]) -> None:
        await gate.wait()
        done.append("refund")

    @saga
    async def body() -> None:
        await pay()
        await sleep(dt.timedelta(days=1))

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(body)
        await run.cancel("first")
        await run.cancel("again, at once")
        await gate.reached.wait()
        await run.cancel("while compensating")
        gate.opened.set()
        assert await ended(run) is Status.COMPENSATED
        with pytest.raises(RunEnded, match="ended already: compensated"):
            await run.cancel("too late")
    assert done == ["pay", "refund"]


@on_a_loop
async def test_an_ended_run_can_not_be_cancelled(database_url: str) -> None:
    """S16: one end."""

    @saga
    async def body() -> int:
        return 1

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(body)
        assert await run.result(10) == 1
        with pytest.raises(RunEnded):
            await run.cancel()
        assert await run.status() is Status.COMPLETED
        with pytest.raises(RunNotFound):
            await coordinator.cancel("nobody")


@on_a_loop
async def test_a_run_with_nothing_landed_ends_cancelled(sqlite_url: str) -> None:
    """Section 4: `cancelled` where nothing compensatable landed."""

    @saga
    async def body() -> None:
        await sleep(dt.timedelta(days=1))

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(body)
        await run.cancel()
        failed = await failure(run)
    assert (failed.status, failed.cause) == ("cancelled", "cancel")


@on_a_loop
async def test_a_cancel_ends_a_wait_for_the_next_attempt(sqlite_url: str) -> None:
    """S11: the decision ends forward retry waits at once."""
    done: list[str] = []

    @step(retry=Retry(attempts=9, wait=dt.timedelta(days=1)))
    async def pay() -> None:
        done.append("pay")
        raise ConnectionError

    @pay.compensation
    async def refund(undo: Undo[None]) -> None:
        done.append(f"refund {undo.outcome}")

    @saga
    async def body() -> None:
        await pay()

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(body)
        await coordinator.run_until_idle()
        await run.cancel()
        assert await ended(run) is Status.COMPENSATED
    assert done == ["pay", "refund unknown"]


@on_a_loop
async def test_a_parked_run_can_be_cancelled(database_url: str) -> None:
    """Section 3: nothing is lost by parking: compensating reads the journal, not the body."""
    done: list[str] = []

    @step
    async def pay() -> None:
        done.append("pay")

    @pay.compensation
    async def refund(undo: Undo[None]) -> None:
        done.append("refund")

    @saga
    async def body() -> None:
        await pay()
        await asyncio.Event().wait()

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(body)
        await parked(run)
        await run.cancel()
        assert await ended(run) is Status.COMPENSATED
    assert done == ["pay", "refund"]


@on_a_loop
async def test_giving_up_the_wait_for_a_result_does_not_cancel_the_run(sqlite_url: str) -> None:
    """Section 2, Runs: cancelling that wait never cancels a run."""
    gate = Gate()

    @step
    async def slow() -> int:
        await gate.wait()
        return 5

    @saga
    async def body() -> int:
        return await slow()

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(body)
        with pytest.raises(TimeoutError):
            await run.result(0.01)
        with pytest.raises(TimeoutError):
            await run.result(dt.timedelta(milliseconds=10))
        waiting = asyncio.create_task(run.result())
        await gate.reached.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        gate.opened.set()
        assert await run.result(10) == 5


@pytest.mark.parametrize("word", ["caf\udce9", "a\0b"])
@on_a_loop
async def test_words_that_no_database_stores_are_refused(database_url: str, word: str) -> None:
    """House style 4: a reason, a name, an id: refused before anything is sent, whatever the database."""

    @saga
    async def body() -> None:
        await sleep(dt.timedelta(days=9))

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(body, id="a")
        operator = coordinator.operator("ann")
        calls: list[Any] = [
            run.cancel(word), coordinator.cancel("a", by=word), coordinator.list(saga=word),
            coordinator.list(after=word), operator.abort("a", reason=word),
            operator.resolve("a", 1, landed=True, evidence=word), coordinator.start(body, id=word),
        ]  # fmt: skip
        for call in calls:
            with pytest.raises(InputInvalid):
                await call
        with pytest.raises(InputInvalid):
            coordinator.operator(word)
        for call in (coordinator.get(word), coordinator.cancel(word), operator.abort(word)):
            with pytest.raises(RunNotFound):
                await call
        assert await run.status() is Status.WAITING
