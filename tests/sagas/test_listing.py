"""Lists of runs: newest first, filtered, in pages."""

from __future__ import annotations

import asyncio
import datetime as dt

import pytest

from amends.sagas import Coordinator, InputInvalid, RunInfo, Status, Undo, saga, sleep, step
from tests.sagas.running import Clock, Gate, ended, on_a_loop, parked


@step(name="listing.reserve")
async def reserve() -> None: ...


@reserve.compensation(name="listing.release")
async def release(undo: Undo[None]) -> None: ...


@saga(name="listing.one")
async def one(what: str) -> None:
    if what == "fails":
        raise ValueError
    if what == "waits":
        await sleep(dt.timedelta(days=1))
    if what == "parks":
        await asyncio.Event().wait()
    if what == "undone":
        await reserve()
        raise ValueError


@saga(name="listing.two", version=2)
async def two() -> None: ...


@on_a_loop
async def test_runs_are_listed_by_status(database_url: str) -> None:
    """Section 4: stored and derived statuses can be asked for by name."""
    gate = Gate()

    @step(name="listing.holds")
    async def holds() -> None:
        await gate.wait()

    @saga(name="listing.runs")
    async def runs() -> None:
        await holds()

    async with Coordinator(database_url) as coordinator:
        for what in ("completes", "fails", "waits", "parks", "undone"):
            await coordinator.start(one, what, id=what)
        await coordinator.run_until_idle()
        await coordinator.start(runs, id="runs")
        await gate.reached.wait()
        wanted = {
            Status.COMPLETED: ["completes"],
            Status.FAILED: ["fails"],
            Status.WAITING: ["waits"],
            Status.PARKED: ["parks"],
            Status.COMPENSATED: ["undone"],
            Status.RUNNING: ["runs"],
            Status.READY: [],
            Status.CANCELLED: [],
        }
        for status, ids in wanted.items():
            assert [info.id for info in await coordinator.list(status=status)] == ids, status
        assert [info.id for info in await coordinator.list(status="parked")] == ["parks"]
        gate.opened.set()


@on_a_loop
async def test_runs_are_listed_newest_first_and_in_pages(database_url: str) -> None:
    """`after` is the last id of the page before; ties in time are told apart."""
    clock = Clock()
    async with Coordinator(database_url, clock=clock) as coordinator:
        for number in range(10):
            await coordinator.start(two, id=f"run-{number}")
            clock.move(dt.timedelta(milliseconds=number % 2))
        pages: list[list[str]] = []
        after: str | None = None
        while page := await coordinator.list(limit=3, after=after):
            pages.append([info.id for info in page])
            after = page[-1].id
        assert [len(page) for page in pages] == [3, 3, 3, 1]
        assert [name for page in pages for name in page] == [
            f"run-{number}" for number in reversed(range(10))
        ]


@on_a_loop
async def test_a_page_of_a_derived_status_is_full(sqlite_url: str) -> None:
    """`limit` counts what is listed, not what was looked at."""
    async with Coordinator(sqlite_url) as coordinator:
        for number in range(6):
            await coordinator.start(one, "waits" if number % 2 else "completes", id=f"run-{number}")
        await coordinator.run_until_idle()
        assert [info.id for info in await coordinator.list(status="waiting", limit=2)] == ["run-5", "run-3"]
        assert [info.id for info in await coordinator.list(status="waiting", limit=2, after="run-3")] == [
            "run-1"
        ]


@on_a_loop
async def test_runs_are_listed_by_saga_and_by_time(database_url: str) -> None:
    """`saga` is a name, `since` the earliest creation."""
    clock = Clock()
    async with Coordinator(database_url, clock=clock) as coordinator:
        await coordinator.start(one, "completes", id="a")
        clock.move(dt.timedelta(hours=1))
        moment = dt.datetime.fromtimestamp(clock.now / 1000, dt.UTC)
        await coordinator.start(two, id="b")
        assert [info.id for info in await coordinator.list(saga="listing.one")] == ["a"]
        assert [info.id for info in await coordinator.list(since=moment)] == ["b"]
        assert await coordinator.list(saga="nobody") == []


@on_a_loop
async def test_a_listed_run_says_what_it_is(sqlite_url: str) -> None:
    """`RunInfo`: what, how it stands, and when."""
    clock = Clock()
    async with Coordinator(sqlite_url, clock=clock) as coordinator:
        begun = dt.datetime.fromtimestamp(clock.now / 1000, dt.UTC)
        await coordinator.start(one, "waits", id="a")
        await coordinator.run_until_idle()
        wakes = begun + dt.timedelta(days=1)
        (info,) = await coordinator.list()
        assert info == RunInfo("a", "listing.one", "1", Status.WAITING, None, begun, None, wakes, None, None)
        await coordinator.cancel("a")
        assert await ended(await coordinator.get("a")) is Status.CANCELLED
        (info,) = await coordinator.list()
        assert (info.status, info.cause, info.ended_at, info.due_at) == (
            Status.CANCELLED,
            "cancel",
            begun,
            None,
        )


@on_a_loop
async def test_a_status_that_is_none_is_refused(sqlite_url: str) -> None:
    """The error lists what there is."""
    async with Coordinator(sqlite_url) as coordinator:
        with pytest.raises(InputInvalid, match="partially_compensated"):
            await coordinator.list(status="done")


@on_a_loop
async def test_a_parked_run_says_why_to_whoever_asks(sqlite_url: str) -> None:
    """Section 4: parked needs a person: why, what is owed, what can be done."""
    async with Coordinator(sqlite_url) as coordinator:
        await coordinator.start(one, "parks", id="a")
        await parked(await coordinator.get("a"))
    async with Coordinator(sqlite_url, work=False) as coordinator:
        assert "can never come" in str(await parked(await coordinator.get("a")))
