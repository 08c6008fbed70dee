"""Signals that come thick and fast: none is lost or doubled, and none holds up a run (S16, S17, L1)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from amends.sagas import Coordinator, RunEnded, Status, receive, saga, savepoint, sleep, step
from tests.sagas.running import LONGEST, ended, on_a_loop
from tests.sagas.test_counts import counted

GOT: list[Any] = []


@pytest.fixture(autouse=True)
def _anew() -> None:
    GOT.clear()


@step(name="storms.does")
async def does(number: int) -> int:
    GOT.append(number)
    return number


@does.compensation(name="storms.undoes")
async def undoes(undo: Any, number: int) -> None:
    GOT.append(-number)


@saga(name="storms.three")
async def three() -> int:
    return sum([await does(await receive(int, name="number")) for _ in range(3)])


@saga(name="storms.fails")
async def fails() -> None:
    async with savepoint():
        await does(await receive(int, name="number"))
    raise ValueError("no more")


@saga(name="storms.for_ever")
async def for_ever() -> int:
    await does(1)
    async for _ in receive(int, name="number"):
        await sleep(0)
    return 0


async def pour(coordinator: Coordinator, run_id: str) -> None:
    """Send one signal after the other until the run has ended."""
    try:
        while True:
            await coordinator.signal(run_id, "number", 1)
    except RunEnded:
        return


@pytest.mark.parametrize(("subject", "end"), [(three, Status.COMPLETED), (fails, Status.COMPENSATED)])
@on_a_loop
async def test_a_run_ends_however_many_signals_pour_in(database_url: str, subject: Any, end: Status) -> None:
    """S16, L1: an end loses to a cancel, but not to signals that nobody will receive any more."""
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(subject, id="run")
        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(pour(coordinator, "run"))
            assert await ended(run) is end


@on_a_loop
async def test_a_cancel_comes_through_a_storm_of_signals(database_url: str) -> None:
    """S16, L2: a run that receives for ever turns round while signals pour in, and has amends made."""
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(for_ever, id="run")
        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(pour(coordinator, "run"))
            await run.cancel()
            assert await ended(run) in (Status.COMPENSATED, Status.CANCELLED)
    assert sum(GOT) == 0


@on_a_loop
async def test_a_signal_and_the_start_that_it_makes_are_one_commit(sqlite_url: str) -> None:
    """S17, S23: no crash comes between them."""
    async with Coordinator(sqlite_url, work=False) as coordinator:
        await coordinator.start(three, id="other")
        with counted() as count:
            await coordinator.signal_or_start(three, id="run", name="number", payload=1)
        assert count.writing == 1


@on_a_loop
async def test_a_run_that_was_removed_is_started_anew_by_the_next_signal(sqlite_url: str) -> None:
    """S17: what a process remembers of a run doesn't outlive that run."""
    async with Coordinator(sqlite_url) as coordinator:
        for number in (3, 4):
            for _ in range(2):
                await coordinator.signal_or_start(three, id="run", name="number", payload=number)
            run = await coordinator.signal_or_start(three, id="run", name="number", payload=number)
            assert await run.result(LONGEST) == 3 * number
            engine = create_engine(sqlite_url)
            with engine.begin() as connection:
                for table in ("journal", "inbox", "runs"):
                    connection.execute(text(f"DELETE FROM amends_{table}"))  # noqa: S608 - of this list
            engine.dispose()
