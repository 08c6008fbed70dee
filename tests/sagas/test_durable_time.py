"""Time, ids and randomness in a body replay; sleeping costs no memory; replaying is silent."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from typing import Any

import pytest

from amends.sagas import (
    Coordinator,
    ReplayFilter,
    Status,
    now,
    random,
    replaying,
    saga,
    sleep,
    sleep_until,
    step,
    uuid4,
)
from amends.sagas.journal import Kind
from tests.sagas.running import Clock, kinds, on_a_loop

DAY = dt.timedelta(days=1)


def moment(clock: Clock) -> dt.datetime:
    return dt.datetime.fromtimestamp(clock.now / 1000, dt.UTC)


@on_a_loop
async def test_now_ids_and_random_numbers_are_the_same_on_every_replay(database_url: str) -> None:
    """Section 2, Bodies: `now()`, `uuid4()`, `random()` replay; another run has other numbers."""
    clock = Clock()
    seen: dict[str, list[Any]] = {}

    @step
    async def does() -> None: ...

    @saga
    async def body(name: str) -> list[str]:
        told = seen.setdefault(name, [])
        one = [now(), uuid4(), random().random(), random().choice("abc")]
        await does()
        one += [now(), uuid4()]
        await sleep(DAY)
        one += [now(), random().getrandbits(64)]
        await sleep(DAY)
        told.append([str(value) for value in one])
        await sleep(DAY)
        told.append([str(value) for value in one])
        return [str(value) for value in one]

    results = {}
    async with Coordinator(database_url, clock=clock) as coordinator:
        for name in "ab":
            await coordinator.start(body, name, id=name)
    for _ in range(4):
        async with Coordinator(database_url, clock=clock) as coordinator:
            await coordinator.run_until_idle()
        clock.move(DAY)
    async with Coordinator(database_url, clock=clock) as coordinator:
        for name in "ab":
            results[name] = await (await coordinator.get(name)).result(10)
    for name in "ab":
        assert all(one == results[name] for one in seen[name])
        assert len(seen[name]) >= 3
    assert results["a"] != results["b"]


@on_a_loop
async def test_a_sleep_of_days_holds_no_memory_and_ends_on_time(database_url: str) -> None:
    """Section 3, Dormancy: a sleeping run is a row with a wake-up time."""
    clock = Clock()

    @saga
    async def body() -> str:
        before = now()
        await sleep(2 * DAY)
        return str(now() - before)

    async with Coordinator(database_url, clock=clock) as coordinator:
        run = await coordinator.start(body)
        assert await coordinator.run_until_idle() == moment(clock) + 2 * DAY
        driver = coordinator._open_parts().driver  # noqa: SLF001 - what it holds
        assert (driver.holding, await run.status()) == (0, Status.WAITING)
        clock.move(DAY)
        await coordinator.run_until_idle()
        assert await kinds(run) == []
        clock.move(DAY)
        await coordinator.run_until_idle()
        assert await run.result(10) == "2 days, 0:00:00"
        assert await kinds(run) == [Kind.FIRED, Kind.ENDED]


@on_a_loop
async def test_a_short_sleep_under_a_clock_that_stands_still_does_not_hang(sqlite_url: str) -> None:
    """House style 3: time is an argument; a test moves the clock, and nothing else does."""
    clock = Clock()

    @saga
    async def body() -> str:
        await sleep(0.5)
        return "woke"

    async with Coordinator(sqlite_url, clock=clock) as coordinator:
        run = await coordinator.start(body)
        assert await coordinator.run_until_idle() == moment(clock) + dt.timedelta(seconds=0.5)
        clock.move(dt.timedelta(seconds=0.5))
        await coordinator.run_until_idle()
        assert await run.result(10) == "woke"


@on_a_loop
async def test_a_run_sleeps_until_a_moment(sqlite_url: str) -> None:
    """Section 2: `sleep_until` takes an aware moment; one that is past returns at once."""
    clock = Clock()
    wanted = moment(clock) + dt.timedelta(hours=5)

    @saga
    async def body(when: dt.datetime) -> dt.datetime:
        await sleep_until(when)
        await sleep_until(when - DAY)
        return now()

    async with Coordinator(sqlite_url, clock=clock) as coordinator:
        zone = dt.timezone(dt.timedelta(hours=9))
        run = await coordinator.start(body, wanted.astimezone(zone))
        assert await coordinator.run_until_idle() == wanted
        clock.move(dt.timedelta(hours=5))
        await coordinator.run_until_idle()
        assert await run.result(10) == wanted


def test_a_naive_moment_is_refused() -> None:
    """Faults: aware and naive datetimes: nobody knows whose noon it is."""
    with pytest.raises(ValueError, match="aware"):
        asyncio.run(sleep_until(dt.datetime(2024, 1, 1, 12)))  # noqa: DTZ001 - naive on purpose


@on_a_loop
async def test_a_replayed_body_is_silent(sqlite_url: str) -> None:
    """Section 2: `replaying()` tells, and the logging filter drops what was logged before."""
    clock = Clock()
    log = logging.getLogger("tests.durable_time")
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]  # to see what passes
    handler.addFilter(ReplayFilter())
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    flags: list[bool] = []

    @saga
    async def body() -> None:
        flags.append(replaying())
        log.info("first")
        await sleep(DAY)
        flags.append(replaying())
        log.info("second")
        await sleep(DAY)
        log.info("third")

    try:
        async with Coordinator(sqlite_url, clock=clock) as coordinator:
            run = await coordinator.start(body)
            for _ in range(3):
                await coordinator.run_until_idle()
                clock.move(DAY)
            await run.result(10)
    finally:
        log.removeHandler(handler)
    assert lines == ["first", "second", "third"]
    assert flags == [False, True, False, True, True]
    assert not replaying()


@on_a_loop
async def test_the_runs_time_never_goes_back(sqlite_url: str) -> None:
    """Section 3, Order: news carries database time, never below the run's previous."""
    clock = Clock()

    @step
    async def does() -> None: ...

    @saga
    async def body() -> list[bool]:
        first = now()
        await sleep(DAY)
        second = now()
        await does()
        return [first < second, second <= now()]

    async with Coordinator(sqlite_url, clock=clock) as coordinator:
        run = await coordinator.start(body)
        await coordinator.run_until_idle()
    clock.move(DAY)
    async with Coordinator(sqlite_url, clock=clock) as coordinator:
        run = await coordinator.get(run.id)
        await coordinator.run_until_idle()
        assert await run.result(10) == [True, True]
        at = [entry.at for entry in await run.journal()]
        assert at == sorted(at)


@on_a_loop
async def test_two_hundred_sleepers_wake_in_another_process(database_url: str) -> None:
    """Section 3, Dormancy: who sleeps belongs to nobody, and is claimed by who serves when due."""
    clock = Clock()

    @saga
    async def body(number: int) -> int:
        await sleep(DAY)
        return number

    async with Coordinator(database_url, clock=clock) as coordinator:
        for number in range(200):
            await coordinator.start(body, number, id=str(number))
        await coordinator.run_until_idle()
        assert len(await coordinator.list(status="waiting", limit=1_000)) == 200
    clock.move(DAY)
    async with Coordinator(database_url, clock=clock) as coordinator:
        await coordinator.run_until_idle()
        for number in range(200):
            assert await (await coordinator.get(str(number))).result(30) == number
