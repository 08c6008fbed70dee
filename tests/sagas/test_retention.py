"""Removing what ended long ago: never what goes on, belongs to what goes on, or can still be undone."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

import pytest
from sqlalchemy import func, or_, select

from amends.persistence.tables import tables_in
from amends.sagas import (
    Collected,
    Coordinator,
    Fatal,
    InputInvalid,
    RunFailed,
    RunNotFound,
    RunRemoved,
    Status,
    Undo,
    approval,
    receive,
    saga,
    set_attributes,
    sleep,
    step,
)
from amends.sagas.testing import VirtualClock
from tests.sagas.running import ONCE, on_a_loop

HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
UNDONE: list[str] = []


@step(name="retention.take", retry=ONCE)
async def take(what: str) -> str:
    return what


@take.compensation(name="retention.give_back", retry=ONCE)
async def give_back(undo: Undo[str], what: str) -> None:
    UNDONE.append(what)


@step(name="retention.look", effect="read", retry=ONCE)
async def look(what: str) -> str:
    if what == "bad":
        raise Fatal(what)
    return what


@step(name="retention.commit", effect="pivot", retry=ONCE)
async def commit(what: str) -> str:
    return what


@saga(name="retention.plain")
async def plain(what: str) -> str:
    set_attributes(what=what)
    return await look(what)


@saga(name="retention.undoable")
async def undoable(what: str) -> str:
    await take(what)
    return await look(what)


@saga(name="retention.past")
async def past(what: str) -> str:
    await take(what)
    return await commit(what)


@saga(name="retention.waits")
async def waits(what: str) -> str:
    word: str = await receive(str, name="go")
    return word


@saga(name="retention.family")
async def family(what: str) -> str:
    await plain(what)
    await undoable(what)
    word: str = await receive(str, name="go")
    return word


@saga(name="retention.asks")
async def asks(what: str) -> str:
    return str((await approval(title=what)).approved)


@saga(name="retention.naps")
async def naps() -> None:
    await sleep(40 * DAY)


async def rows(coordinator: Coordinator, *ids: str) -> int:
    """Count the rows that are there of runs and those below them, in all tables but that of the runs."""
    postgres = coordinator.engine.dialect.name == "postgresql"
    tables = tables_in("amends") if postgres else tables_in(None, "amends_")
    of_runs = (
        tables.journal,
        tables.inbox,
        tables.approvals,
        tables.attributes,
        tables.transactions,
        tables.audit,
    )

    def count() -> int:
        with coordinator.engine.connect() as connection:
            found = connection.execute(select(func.count()).select_from(tables.votes)).scalar_one()
            for table in of_runs:
                theirs = or_(table.c.run_id.in_(ids), *(table.c.run_id.startswith(f"{run}/") for run in ids))
                found += connection.execute(
                    select(func.count()).select_from(table).where(theirs)
                ).scalar_one()
            return found

    return await asyncio.to_thread(count)


@on_a_loop
async def test_what_ended_long_ago_is_gone_and_its_id_stays_taken(database_url: str) -> None:
    clock = VirtualClock()
    async with Coordinator(database_url, clock=clock) as coordinator:
        old = await coordinator.start(plain, "a", id="old")
        await old.result(30)
        asked = await coordinator.start(asks, "may I?", id="asked")
        await coordinator.run_until_idle()
        (pending,) = await coordinator.approvals()
        await coordinator.decide(pending.id, approved=True, by="ann")
        await asked.result(30)
        assert await rows(coordinator, "old", "asked") > 10
        clock.advance(20 * DAY)
        young = await coordinator.start(plain, "b", id="young")
        await young.result(30)
        clock.advance(11 * DAY)
        assert await coordinator.gc(older_than=30 * DAY, dry_run=True) == Collected(2, 0)
        assert await old.status() is Status.COMPLETED
        assert await coordinator.gc(older_than=30 * DAY, by="ann") == Collected(2, 0)
        assert await rows(coordinator, "old", "asked") == 0
        assert [info.id for info in await coordinator.list()] == ["young"]
        assert await young.result(30) == "b"
        for act in (old.status, old.result, old.cancel, old.trace_id):
            with pytest.raises(RunRemoved, match="was removed on 2030"):
                await act()
        with pytest.raises(RunRemoved):
            await coordinator.start(plain, "a", id="old")
        with pytest.raises(RunRemoved):
            await coordinator.signal("old", "go", "x")
        with pytest.raises(RunRemoved):
            await coordinator.signal_or_start(waits, "a", id="old", name="go", payload="x")
        with pytest.raises(RunRemoved):
            await coordinator.undo("old")
        with pytest.raises(RunNotFound):
            await coordinator.get("never")
        assert await coordinator.gc(older_than=30 * DAY) == Collected(0, 0)
        assert [row.actor for row in await coordinator.desk.audit("gc:")] == ["ann"]


@on_a_loop
async def test_what_can_still_be_undone_is_kept_as_long_as_the_policy_says(database_url: str) -> None:
    clock = VirtualClock()
    UNDONE.clear()
    async with Coordinator(database_url, clock=clock) as coordinator:
        kept = await coordinator.start(undoable, "kept", id="kept")
        undone = await coordinator.start(undoable, "undone", id="undone")
        await kept.result(30)
        await undone.result(30)
        await coordinator.undo("undone", by="ann")
        await coordinator.run_until_idle()
        assert await undone.status() is Status.COMPENSATED
        failed = await coordinator.start(undoable, "bad", id="failed")
        with pytest.raises(RunFailed):
            await failed.result(30)
        beyond = await coordinator.start(past, "x", id="beyond")
        await beyond.result(30)
        clock.advance(50 * DAY)
        assert await coordinator.gc(older_than=30 * DAY) == Collected(3, 1)
        assert [info.id for info in await coordinator.list()] == ["kept"]
        await coordinator.undo("kept", by="ann")
        await coordinator.run_until_idle()
        assert UNDONE == ["undone", "bad", "kept"]
        again = await coordinator.start(undoable, "again", id="again")
        await again.result(30)
        clock.advance(100 * DAY)
        assert await coordinator.gc(older_than=30 * DAY) == Collected(1, 1)
        assert await coordinator.gc(older_than=30 * DAY, undoable_older_than=90 * DAY) == Collected(1, 0)
        assert await coordinator.list() == []


@on_a_loop
async def test_a_family_goes_together_once_all_of_it_has_ended(database_url: str) -> None:
    """S19: what a parent may have to undo stays with it, however long ago it ended."""
    clock = VirtualClock()
    async with Coordinator(database_url, clock=clock) as coordinator:
        run = await coordinator.start(family, "f", id="f")
        await coordinator.run_until_idle()
        assert len(await coordinator.list(parent="f")) == 2
        clock.advance(60 * DAY)
        assert await coordinator.gc(older_than=DAY) == Collected(0, 0)
        await coordinator.signal("f", "go", "on")
        assert await run.result(30) == "on"
        clock.advance(2 * DAY)
        assert await coordinator.gc(older_than=DAY) == Collected(0, 1)
        assert await coordinator.gc(older_than=DAY, undoable_older_than=DAY) == Collected(1, 0)
        assert await rows(coordinator, "f") == 0
        with pytest.raises(RunRemoved):
            await coordinator.start(plain, "x", id="f/1")


@on_a_loop
async def test_what_goes_on_is_never_removed(database_url: str) -> None:
    clock = VirtualClock()
    async with Coordinator(database_url, clock=clock) as coordinator:
        await coordinator.start(waits, "w", id="w")
        await coordinator.start(naps, id="n")
        await coordinator.queues.pause("retention")
        await coordinator.start(queued, id="q")
        await coordinator.run_until_idle()
        clock.advance(30 * DAY)
        assert await coordinator.gc(older_than=HOUR, undoable_older_than=HOUR) == Collected(0, 0)
        assert len(await coordinator.list()) == 3


@saga(name="retention.queued", queue="retention")
async def queued() -> None: ...


@on_a_loop
async def test_a_run_turned_round_between_the_choice_and_the_removal_stays(database_url: str) -> None:
    """S25: who undoes a run in time has it undone."""
    clock = VirtualClock()
    UNDONE.clear()
    async with Coordinator(database_url, clock=clock) as coordinator:
        run = await coordinator.start(undoable, "u", id="u")
        await run.result(30)
        clock.advance(10 * DAY)
        ask, turned = coordinator.desk.ask, list[bool]()

        async def slow(question: Any) -> Any:
            found = await ask(question)
            if not turned:
                turned.append(True)
                await coordinator.undo("u", by="ann")
            return found

        coordinator.desk.ask = slow  # type: ignore[method-assign]
        done = await coordinator.gc(older_than=DAY, undoable_older_than=DAY)
        assert done.removed == 0
        await coordinator.run_until_idle()
        assert await run.status() is Status.COMPENSATED
        assert UNDONE == ["u"]


@on_a_loop
async def test_many_runs_are_removed_page_by_page_and_only_those_of_the_saga(database_url: str) -> None:
    clock = VirtualClock()
    async with Coordinator(database_url, clock=clock) as coordinator:
        runs = [await coordinator.start(plain, f"{n}") for n in range(230)]
        for run in runs:
            await run.result(30)
        await (await coordinator.start(past, "p", id="p")).result(30)
        clock.advance(2 * DAY)
        assert await coordinator.gc(older_than=DAY, saga="retention.plain") == Collected(230, 0)
        assert [info.id for info in await coordinator.list()] == ["p"]


@pytest.mark.parametrize("older", [dt.timedelta(minutes=59), dt.timedelta(0), -DAY, 30, None])
def test_ages_that_are_none_are_refused(sqlite_url: str, older: Any) -> None:
    with Coordinator.sync(sqlite_url) as coordinator:
        with pytest.raises(InputInvalid, match="older_than"):
            coordinator.gc(older_than=older)
        with pytest.raises(InputInvalid, match="older_than"):
            coordinator.gc(older_than=DAY, undoable_older_than=older if older is not None else HOUR / 2)
        assert coordinator.gc(older_than=DAY) == Collected(0, 0)
