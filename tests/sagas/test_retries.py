"""Retries: by policy, durable, and only where another attempt makes sense."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
import tenacity

from amends.sagas import Coordinator, DefinitionError, Fatal, NoEffect, Retry, RetryAfter, Status, saga, step
from amends.sagas.journal import Kind
from tests.sagas.running import AT_ONCE, Clock, ended, failure, kinds, on_a_loop

ZERO = dt.timedelta(0)


class Refused(Exception):
    """Evidence that nothing happened, where a step declares it."""


class Later(NoEffect, RetryAfter):
    """Nothing happened this time."""


CASES: dict[str, tuple[dict[str, Any], BaseException, int]] = {
    "three attempts by default": ({"retry": Retry(wait=ZERO)}, ValueError(), 3),
    "one attempt": ({"retry": Retry(attempts=1)}, ValueError(), 1),
    "Fatal ends the attempts": ({"retry": AT_ONCE}, Fatal(), 1),
    "Fatal, named": ({"retry": Retry(wait=ZERO, on=(Fatal,))}, Fatal(), 3),
    "NoEffect isn't tried again": ({"retry": AT_ONCE}, NoEffect(), 1),
    "NoEffect, named": ({"retry": Retry(wait=ZERO, on=NoEffect)}, NoEffect(), 3),
    "a declared no-effect error": ({"retry": AT_ONCE, "no_effect": (Refused,)}, Refused(), 1),
    "a declared no-effect error, named": (
        {"retry": Retry(wait=ZERO, on=(Refused, OSError)), "no_effect": (Refused,)}, Refused(), 3,
    ),
    "never": ({"retry": Retry(wait=ZERO, never=(KeyError,))}, KeyError(), 1),
    "on another class": ({"retry": Retry(wait=ZERO, on=OSError)}, KeyError(), 1),
    "on a base class": ({"retry": Retry(wait=ZERO, on=LookupError)}, KeyError(), 3),
    "RetryAfter": ({"retry": Retry(attempts=4, wait=dt.timedelta(days=9))}, RetryAfter(0), 4),
    "RetryAfter that leaves the wait to the policy": ({"retry": AT_ONCE}, RetryAfter(None), 3),
    "RetryAfter that says no effect too": ({"retry": AT_ONCE}, Later(0), 3),
    "RetryAfter, but only other errors are tried again": (
        {"retry": Retry(wait=ZERO, on=OSError)}, RetryAfter(0), 1,
    ),
    "tenacity's stop": (
        {"retry": Retry(attempts=9, wait=ZERO, stop=tenacity.stop_after_attempt(2))}, ValueError(), 2,
    ),
    "tenacity's wait": ({"retry": Retry(wait=tenacity.wait_none())}, ValueError(), 3),
    "tenacity's waits, added": (
        {"retry": Retry(wait=tenacity.wait_fixed(0) + tenacity.wait_none())}, ValueError(), 3,
    ),
    "tenacity's retry, for": (
        {"retry": Retry(wait=ZERO, on=tenacity.retry_if_exception_type(OSError))}, ConnectionError(), 3,
    ),
    "tenacity's retry, against": (
        {"retry": Retry(wait=ZERO, on=tenacity.retry_if_exception_message("busy"))}, OSError("broken"), 1,
    ),
    "a time that is no time": ({"retry": Retry(attempts=2)}, RetryAfter(float("nan")), 2),
    "on_unknown=compensate": ({"retry": AT_ONCE, "on_unknown": "compensate"}, ValueError(), 1),
}  # fmt: skip


@on_a_loop
async def test_a_policy_decides_how_often_a_step_is_tried(sqlite_url: str) -> None:
    """Section 2, Steps: attempts, wait, on, never, stop; Fatal and no-effect errors only where named."""
    async with Coordinator(sqlite_url) as coordinator:
        for name, (options, error, attempts) in CASES.items():
            assert await tries(coordinator, name, options, error) == attempts, name


async def tries(coordinator: Coordinator, name: str, options: dict[str, Any], error: BaseException) -> int:
    count = 0

    @step(name=f"retries {name}", **options)
    async def flaky() -> None:
        nonlocal count
        count += 1
        raise error

    @saga(name=f"retries of {name}")
    async def body() -> None:
        await flaky()

    await failure(await coordinator.start(body))
    return count


@on_a_loop
async def test_a_step_that_succeeds_at_last_succeeds(database_url: str) -> None:
    """Section 2: each failed attempt is one entry, which is the write-ahead of the next."""
    count = 0

    @step(retry=AT_ONCE)
    async def flaky() -> int:
        nonlocal count
        count += 1
        if count < 3:
            raise ConnectionError(count)
        return count

    @saga
    async def body() -> int:
        return await flaky()

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(body)
        assert await run.result(30) == 3
        assert await kinds(run) == [Kind.INTENT, Kind.RETRY, Kind.RETRY, Kind.LANDED, Kind.ENDED]


@on_a_loop
async def test_the_attempt_count_survives_a_restart(database_url: str) -> None:
    """Section 2: scheduled durably: an hour of back-off holds no memory, and the count goes on."""
    clock = Clock()
    count = 0

    @step(retry=Retry(attempts=3, wait=dt.timedelta(hours=1)))
    async def flaky() -> None:
        nonlocal count
        count += 1
        raise ConnectionError(count)

    @saga
    async def body() -> None:
        await flaky()

    async with Coordinator(database_url, clock=clock) as coordinator:
        run = await coordinator.start(body, id="a")
        due = await coordinator.run_until_idle()
        assert (count, await run.status()) == (1, Status.WAITING)
        assert due == dt.datetime.fromtimestamp(clock.now / 1000, dt.UTC) + dt.timedelta(hours=1)
        assert not coordinator._open_parts().driver.holds("a")  # noqa: SLF001 - that it holds no memory
    for attempt in (2, 3):
        clock.move(dt.timedelta(hours=1))
        async with Coordinator(database_url, clock=clock) as coordinator:
            await coordinator.run_until_idle()
            assert count == attempt
    async with Coordinator(database_url, clock=clock) as coordinator:
        assert await ended(await coordinator.get("a")) is Status.FAILED
    assert count == 3


@on_a_loop
async def test_a_step_sets_when_it_is_tried_again(sqlite_url: str) -> None:
    """Section 2: `RetryAfter(seconds)` overrules the policy's wait."""
    clock = Clock()
    moments: list[int] = []

    @step(retry=Retry(attempts=2))
    async def throttled() -> int:
        moments.append(clock.now)
        if len(moments) == 1:
            raise RetryAfter(300)
        return 1

    @saga
    async def body() -> int:
        return await throttled()

    async with Coordinator(sqlite_url, clock=clock) as coordinator:
        run = await coordinator.start(body)
        await coordinator.run_until_idle()
        clock.move(dt.timedelta(seconds=299))
        await coordinator.run_until_idle()
        assert len(moments) == 1
        clock.move(dt.timedelta(seconds=1))
        await coordinator.run_until_idle()
        assert await run.result(10) == 1
    assert moments[1] - moments[0] == 300_000


@pytest.mark.parametrize("seconds", [float("inf"), 1e300])
@on_a_loop
async def test_a_back_off_beyond_all_bounds_harms_nobody(sqlite_url: str, seconds: float) -> None:
    """L3: one strange step neither stops the worker nor loses what it has done."""

    @step(retry=Retry(attempts=2))
    async def strange() -> None:
        raise RetryAfter(seconds)

    @saga
    async def body() -> None:
        await strange()

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(body)
        await coordinator.run_until_idle()
        assert await run.status() is Status.WAITING
        await run.cancel()
        assert await ended(run) is Status.CANCELLED


@on_a_loop
async def test_a_policy_that_raises_parks_its_run_and_forgets_nothing(sqlite_url: str) -> None:
    """S3, L3: what the step did may stand, so a cancelled run compensates it."""
    undone: list[str] = []

    def broken(_state: tenacity.RetryCallState) -> float:
        raise AttributeError("a bug in the policy")

    @step(retry=Retry(attempts=2, wait=broken), timeout=dt.timedelta(seconds=0.2))
    async def pays() -> None:
        raise ConnectionError("who knows")

    @pays.compensation
    async def unpays(undo: Any) -> None:
        undone.append(undo.outcome)

    @saga
    async def body() -> None:
        await pays()

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(body)
        failed = await failure(run)
        assert "a bug in the policy" in str(failed)
        await run.cancel()
        assert await ended(run) is Status.COMPENSATED
    assert undone == ["unknown"]


@pytest.mark.parametrize("attempts", [0, -1])
def test_a_policy_without_attempts_is_refused(attempts: int) -> None:
    """Section 2: the first attempt counts too."""
    with pytest.raises(DefinitionError, match="at least 1"):
        Retry(attempts=attempts)
