"""A step's error reaches the body as its own class, or as `StepFailed` that tells everything."""

from __future__ import annotations

import asyncio
import socket

import pytest

from amends.sagas import (
    Coordinator,
    Fatal,
    NoEffect,
    RetryAfter,
    RunFailed,
    StepFailed,
    StepTimeout,
    saga,
    step,
)
from amends.sagas.failure import Failure, rebuild
from tests.sagas.running import ONCE, failure, on_a_loop, result_of


class CardDeclined(Exception):
    """An error of the application's, with a field."""

    def __init__(self, code: str, amount: int) -> None:
        super().__init__(code, amount)
        self.code = code
        self.amount = amount


class Stubborn(Exception):
    """An error that can't be rebuilt from its arguments."""

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"because {reason}")


class Mute(Exception):
    """An error whose text can't be had."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class Beyond(BaseException):
    """An error that no `except Exception` catches."""


ERRORS: list[BaseException] = [
    CardDeclined("do_not_honour", 7),
    ValueError("plain"),
    KeyError("key"),
    TimeoutError("the participant's own"),
    ConnectionResetError(104, "reset"),
    socket.gaierror(-2, "unknown name"),
    NoEffect("refused"),
    Fatal("hopeless"),
    RetryAfter(3, "later"),
    ZeroDivisionError(),
    UnicodeDecodeError("utf-8", b"", 0, 0, "no"),
    Stubborn(reason="of that"),
    Mute(),
    ExceptionGroup("several", [ValueError("one"), KeyError("two")]),
    Beyond("all"),
    StopIteration("in a step"),
    RuntimeError("\ud800 surrogate \0 zero"),
]


@pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])
@on_a_loop
async def test_an_error_comes_back_as_its_own_class_or_as_step_failed(sqlite_url: str, sync: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Section 2: own class where it can be rebuilt, else type, message and traceback of the original."""

    @step(retry=ONCE)
    async def fails_async(number: int) -> None:
        raise ERRORS[number]

    @step(retry=ONCE)
    def fails_sync(number: int) -> None:
        raise ERRORS[number]

    seen: dict[int, BaseException] = {}

    @saga
    async def body(numbers: list[int]) -> None:
        for number in numbers:
            try:
                await (fails_sync if sync else fails_async)(number)
            except BaseException as error:  # noqa: BLE001 - whatever it is
                seen[number] = error

    # A thread can't hand on StopIteration, nor can a coroutine.
    numbers = [number for number, error in enumerate(ERRORS) if not isinstance(error, StopIteration)]
    await result_of(sqlite_url, body, numbers)
    for number in numbers:
        check(ERRORS[number], seen[number])


def check(raised: BaseException, seen: BaseException) -> None:
    if isinstance(raised, Mute):
        assert isinstance(seen, Mute)
        return
    if isinstance(raised, ExceptionGroup):
        assert isinstance(seen, ExceptionGroup)
        parts = [(type(part), part.args) for part in seen.exceptions]
        assert parts == [(ValueError, ("one",)), (KeyError, ("two",))]
        return
    if isinstance(raised, Stubborn | UnicodeDecodeError):
        assert isinstance(seen, StepFailed)
        assert type(raised).__name__ in seen.type
        assert type(raised).__name__ in seen.traceback
        return
    assert type(seen) is type(raised)
    assert str(seen) == str(raised)
    assert seen.args == raised.args


@on_a_loop
async def test_a_step_failed_shows_where_the_original_was_raised(sqlite_url: str) -> None:
    """Section 2: the original's traceback is kept as text."""

    @step(retry=ONCE)
    async def fails() -> None:
        raise Stubborn(reason="of that")

    @saga
    async def body() -> str:
        try:
            await fails()
        except StepFailed as error:
            return f"{error.message}|{error.traceback}"
        return ""

    told: str = await result_of(sqlite_url, body)
    assert told.startswith("because of that|")
    assert "test_step_errors.py" in told


@on_a_loop
async def test_a_runs_error_is_the_cause_of_run_failed(database_url: str) -> None:
    """Section 2: `RunFailed` says which run, how it ended, and why; the error is there as an exception."""

    @step(retry=ONCE)
    async def charge() -> None:
        raise CardDeclined("stolen", 5)

    @saga
    async def body() -> None:
        await charge()

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(body, id="order-1")
        failed = await failure(run)
    assert (failed.run_id, failed.status, failed.cause) == ("order-1", "failed", "error")
    assert isinstance(failed.error, CardDeclined)
    assert failed.error.code == "stolen"
    assert failed.__cause__ is failed.error
    assert "CardDeclined" in str(failed)


@on_a_loop
async def test_a_body_that_cancels_itself_fails_its_run(sqlite_url: str) -> None:
    """S13: a cancellation that nobody asked for is an error like any other."""

    @saga
    async def body() -> None:
        raise asyncio.CancelledError

    async with Coordinator(sqlite_url) as coordinator:
        failed = await failure(await coordinator.start(body))
    assert failed.status == "failed"
    assert failed.cause == "error"


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError("stop"), GeneratorExit()])
@on_a_loop
async def test_a_step_that_would_stop_the_process_only_fails(sqlite_url: str, error: BaseException) -> None:
    """L3: what a step raises is its outcome; it reaches the body as an error that can be caught."""

    @step(retry=ONCE)
    def leaves() -> None:
        raise error

    @saga
    async def body() -> str:
        try:
            await leaves()
        except StepFailed as failed:
            return failed.type.rpartition(":")[2]
        return ""

    assert await result_of(sqlite_url, body) == type(error).__name__


@pytest.mark.parametrize("error", [Beyond("all"), KeyError("x"), RecursionError("deep"), SystemExit(1)])
@on_a_loop
async def test_whatever_a_body_raises_ends_its_run(sqlite_url: str, error: BaseException) -> None:
    """S13: no error that a body lets out leaves its run hanging."""

    @saga
    async def body() -> None:
        raise error

    async with Coordinator(sqlite_url) as coordinator:
        failed = await failure(await coordinator.start(body))
        assert failed.status == "failed"


@on_a_loop
async def test_a_runs_failure_reads_the_same_after_a_restart(sqlite_url: str) -> None:
    """Section 4: an end is a row; whoever asks later learns the same."""

    @step(retry=ONCE)
    async def charge() -> None:
        raise CardDeclined("stolen", 5)

    @saga
    async def body() -> None:
        await charge()

    async with Coordinator(sqlite_url) as coordinator:
        first = await failure(await coordinator.start(body, id="a"))
    async with Coordinator(sqlite_url, work=False) as coordinator:
        again = await failure(await coordinator.get("a"))
    assert isinstance(again, RunFailed)
    assert str(again) == str(first)
    assert isinstance(again.error, CardDeclined)
    assert again.error.args == ("stolen", 5)


@on_a_loop
async def test_a_time_out_is_told_from_a_time_out_error_of_the_steps_own(sqlite_url: str) -> None:
    """S2: `StepTimeout` is ours alone; a participant's `TimeoutError` stays what it is."""

    @step(retry=ONCE)
    def own() -> None:
        raise TimeoutError("the socket's")

    @saga
    async def body() -> str:
        try:
            await own()
        except StepTimeout:
            return "ours"
        except TimeoutError as error:
            return str(error)
        return ""

    assert await result_of(sqlite_url, body) == "the socket's"


class Strict(RunFailed):
    """One with a constructor of its own."""

    def __init__(self) -> None:
        super().__init__("strict", run_id="a", status="failed", cause=None, error=None)


@pytest.mark.parametrize(
    "recorded",
    [
        Failure("amends.sagas.errors:RunFailed", "as recorded before", ["as recorded before"], ""),
        Failure(f"{__name__}:Strict", "strict", ["a", "failed", None], ""),
    ],
)
def test_a_failed_run_that_cannot_be_rebuilt_comes_as_a_failed_step(recorded: Failure) -> None:
    """Section 2, Steps: whatever stands in a record, reading it never raises."""
    error = rebuild(recorded, {"amends.sagas.errors:RunFailed": RunFailed, f"{__name__}:Strict": Strict}.get)
    assert isinstance(error, StepFailed)
    assert error.message == recorded.message
