"""Which compensations runs that go on may need: a check before a deployment (S21)."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from sqlalchemy import text

from amends.sagas import (
    Coordinator,
    NoEffect,
    Owed,
    RecordUnreadable,
    Retry,
    Undo,
    approval,
    saga,
    sleep,
    step,
)
from amends.sagas.registry import HANDLERS
from tests.sagas.running import ONCE, ended, on_a_loop, parked

TROUBLE: set[str] = set()


@pytest.fixture(autouse=True)
def _quiet() -> None:
    TROUBLE.clear()


@step(name="owed.book", retry=ONCE)
async def book(what: str) -> str:
    if what == "nowhere":
        raise NoEffect(what)
    if what == "somewhere":
        raise OSError(what)
    return what


@book.compensation(name="owed.unbook", retry=ONCE)
async def unbook(undo: Undo[str], what: str) -> None:
    if what in TROUBLE:
        raise OSError(what)


@step(name="owed.pay", retry=ONCE)
async def pay() -> None: ...


@pay.compensation(name="owed.repay", version="3")
async def repay(undo: Undo[None]) -> None: ...


@step(name="owed.plain")
async def plain() -> None: ...


@saga(name="owed.trip")
async def trip(*places: str) -> None:
    await plain()
    for place in places:
        try:
            await book(place)
        except (NoEffect, OSError):
            await plain()
    await sleep(dt.timedelta(days=1))


@saga(name="owed.fails")
async def fails() -> None:
    await book("hotel")
    await book("flight")
    raise ValueError


@saga(name="owed.asks")
async def asks() -> None:
    await book("hotel")
    await approval(title="Keep it?", details="x" * 10)


@on_a_loop
async def test_a_run_that_waits_for_an_approval_is_counted(database_url: str) -> None:
    async with Coordinator(database_url) as coordinator:
        await coordinator.start(asks)
        await coordinator.run_until_idle()
        assert told(await coordinator.owed()) == [("owed.unbook@1", 1)]


def told(owed: list[Owed]) -> list[tuple[str, int]]:
    return [(each.handler, each.runs) for each in owed]


@saga(name="owed.pays")
async def pays(place: str) -> None:
    await book(place)
    await pay()
    await sleep(dt.timedelta(days=1))


@on_a_loop
async def test_what_open_runs_may_need_is_counted_by_run(database_url: str) -> None:
    """What landed counts once a run; what is known not to have landed, or was undone, doesn't."""
    async with Coordinator(database_url, clock=lambda: 1_700_000_000_000) as coordinator:
        assert await coordinator.owed() == []
        for name, places in {"a": ("rome", "oslo"), "b": ("nowhere",), "c": ("somewhere",)}.items():
            await coordinator.start(trip, *places, id=name)
        await coordinator.start(pays, "bern", id="d")
        await coordinator.run_until_idle()
        assert await coordinator.owed() == [
            Owed("owed.repay@3", 1, "d", here=True),
            Owed("owed.unbook@1", 2, "a", here=True),
        ]


@on_a_loop
async def test_ended_runs_owe_nothing_and_parked_ones_what_is_left(database_url: str) -> None:
    """S13, S25: compensated, waived and completed runs don't count; a parked one does until it has ended."""
    TROUBLE.add("flight")
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(fails, id="a")
        await parked(run)
        assert told(await coordinator.owed()) == [("owed.unbook@1", 1)]
        await coordinator.operator("ann").waive(run.id, 2, reason="paid back by hand")
        await ended(run)
        assert await coordinator.owed() == []


@on_a_loop
async def test_a_compensation_that_this_process_lacks_is_marked(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Coordinator(sqlite_url) as coordinator:
        await coordinator.start(pays, "bern", id="d")
        await coordinator.run_until_idle()
        monkeypatch.setattr(HANDLERS, "keys", lambda: ["owed.unbook@1"])
        assert [each.here for each in await coordinator.owed()] == [False, True]


@on_a_loop
async def test_the_journals_are_streamed_in_order_whatever_their_number(database_url: str) -> None:
    """More entries than are fetched at a time, of runs whose entries were written in turns."""
    async with Coordinator(database_url) as coordinator:
        for number in range(120):
            await coordinator.start(trip, *"abcde", id=f"r{number}")
        await coordinator.run_until_idle()
        assert told(await coordinator.owed()) == [("owed.unbook@1", 120)]


@on_a_loop
async def test_a_record_of_newer_code_is_told_and_not_guessed_at(database_url: str) -> None:
    async with Coordinator(database_url) as coordinator:
        await coordinator.start(pays, "bern", id="d")
        await coordinator.run_until_idle()
        journal = "amends_journal" if coordinator.engine.name == "sqlite" else "amends.journal"
        with coordinator.engine.begin() as connection:
            connection.execute(text(f"UPDATE {journal} SET format = 99"))  # noqa: S608 - a name of ours
        with pytest.raises(RecordUnreadable, match="newer amends"):
            await coordinator.owed()


def test_a_retry_that_waits_is_still_owed(sqlite_url: str) -> None:
    @step(name="owed.shaky", retry=Retry(attempts=2, wait=dt.timedelta(days=1)))
    async def shaky() -> None:
        raise OSError

    @shaky.compensation(name="owed.unshaky")
    async def unshaky(undo: Undo[None]) -> None: ...

    @saga(name="owed.shakes")
    async def shakes() -> None:
        await shaky()

    with Coordinator.sync(sqlite_url) as coordinator:
        run: Any = coordinator.start(shakes)
        coordinator.run_until_idle()
        assert told(coordinator.owed()) == [("owed.unshaky@1", 1)]
        run.cancel("enough")
        coordinator.run_until_idle()
        assert coordinator.owed() == []
