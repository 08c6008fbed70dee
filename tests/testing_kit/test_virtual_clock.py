"""VirtualClock: days of sleep pass at once, with a coordinator on a real database."""

from __future__ import annotations

import asyncio
import datetime as dt

import pytest

from amends.sagas import Coordinator, Retry, current_step, now, saga, sleep, step
from amends.sagas.testing import VirtualClock

DAY = dt.timedelta(days=1)
ATTEMPTS: list[int] = []


@step(name="clock.remind", retry=Retry(attempts=3, wait=dt.timedelta(hours=1)))
async def remind(customer: str) -> str:
    ATTEMPTS.append(current_step().attempt)
    if ATTEMPTS[-1] < 3:
        raise RuntimeError("the mail server is down")
    return customer


@saga(name="clock.dunning")
async def dunning(customer: str) -> list[str]:
    began = now()
    await sleep(14 * DAY)
    await remind(customer)
    return [str(now() - began)]


def test_the_clock_stands_still_until_it_is_moved() -> None:
    clock = VirtualClock()
    assert clock() == clock() == 1_893_456_000_000
    assert clock.now == dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
    clock.advance(DAY)
    assert clock.now == dt.datetime(2030, 1, 2, tzinfo=dt.UTC)
    clock.move_to(dt.datetime(2030, 1, 3, 1, tzinfo=dt.timezone(dt.timedelta(hours=1))))
    assert clock.now == dt.datetime(2030, 1, 3, tzinfo=dt.UTC)


def test_the_clock_does_not_go_back_and_wants_time_zones() -> None:
    clock = VirtualClock(dt.datetime(2025, 6, 1, tzinfo=dt.UTC))
    with pytest.raises(ValueError, match="a clock doesn't go back"):
        clock.advance(-DAY)
    with pytest.raises(ValueError, match="needs a time zone"):
        clock.move_to(dt.datetime(2030, 1, 1))  # noqa: DTZ001 - the mistake
    with pytest.raises(ValueError, match="needs a time zone"):
        VirtualClock(dt.datetime(2030, 1, 1))  # noqa: DTZ001 - the mistake


def test_a_moment_shows_as_the_next_whole_millisecond() -> None:
    clock = VirtualClock()
    clock.move_to(clock.now + dt.timedelta(microseconds=1))
    assert clock() == 1_893_456_000_001


def test_two_weeks_and_the_retries_pass_at_once(sqlite_url: str) -> None:
    ATTEMPTS.clear()

    async def test() -> None:
        clock = VirtualClock()
        async with Coordinator(sqlite_url, clock=clock) as coordinator:
            run = await coordinator.start(dunning, "Ada")
            await clock.run(coordinator)
            assert await run.result() == ["14 days, 2:00:00"]

    asyncio.run(test())
    assert ATTEMPTS == [1, 2, 3]


def test_the_clock_stops_where_it_is_told_to(sqlite_url: str) -> None:
    ATTEMPTS.clear()
    clock = VirtualClock()
    noon = clock.now + 14 * DAY + dt.timedelta(minutes=30)
    with Coordinator.sync(sqlite_url, clock=clock) as coordinator:
        run = coordinator.start(dunning, "Ada")
        clock.run_sync(coordinator, until=noon)
        assert (run.status(), ATTEMPTS, clock.now) == ("waiting", [1], noon)
        clock.run_sync(coordinator)
        assert (run.status(), ATTEMPTS) == ("completed", [1, 2, 3])
