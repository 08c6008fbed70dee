"""Transactional steps that are async: on psycopg's async side, and on aiosqlite."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

pytest.importorskip("greenlet", reason="async connections need amends[asyncio]")
pytest.importorskip("aiosqlite", reason="async connections need amends[asyncio]")

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from amends.sagas import Coordinator, StepTimeout, Undo, saga, transaction
from tests.sagas.ledgers import BRIEF, ROWS, lost_replies, opened, put, rows
from tests.sagas.running import AT_ONCE, ONCE, Gate, failure, on_a_loop

GATES: list[Gate] = []


@pytest.fixture
def books(database_url: str) -> Iterator[Engine]:
    """Give an engine on the application's table."""
    with opened(database_url) as engine:
        yield engine


@transaction(name="tx.async.add", retry=AT_ONCE)
async def add(db: AsyncConnection, what: str) -> int:
    await asyncio.sleep(0)
    return await db.run_sync(put, what)


@add.compensation(name="tx.async.remove")
async def remove(undo: Undo[int], session: AsyncSession, what: str) -> None:
    await session.execute(ROWS.delete().where(ROWS.c.id == undo.result))


@transaction(name="tx.async.waits", retry=ONCE, timeout=BRIEF)
async def waits(session: AsyncSession, what: str) -> None:
    await (await session.connection()).run_sync(put, what)
    GATES[0].reached.set()
    await GATES[0].opened.wait()


@saga(name="tx.async.adds")
async def adds(*words: str) -> int:
    for word in words:
        await (waits if word == "waits" else add)(word)
    if "bad" in words:
        raise ValueError("bad")
    return len(words)


@on_a_loop
async def test_async_transactions_commit_with_their_outcome(database_url: str, books: Engine) -> None:
    """S23: many at once, on the loop, beside the writer."""
    async with Coordinator(database_url) as coordinator:
        runs = [await coordinator.start(adds, "a", "b") for _ in range(20)]
        assert [await run.result(30) for run in runs] == [2] * 20
        assert (await failure(await coordinator.start(adds, "c", "bad"))).status == "compensated"
    assert sorted(rows(books)) == ["a"] * 20 + ["b"] * 20


@pytest.mark.parametrize("committed", [True, False])
@on_a_loop
async def test_a_lost_reply_does_nothing_twice_on_the_loop(
    database_url: str, books: Engine, *, committed: bool
) -> None:
    """S3: as in threads."""
    async with Coordinator(database_url) as coordinator:
        with lost_replies(2, committed=committed):
            assert await (await coordinator.start(adds, "a", "b")).result(30) == 2
    assert rows(books) == ["a", "b"]


@on_a_loop
async def test_an_async_transaction_over_its_time_is_rolled_back(database_url: str, books: Engine) -> None:
    """S6: cancelled where it waits; the database is free at once."""
    GATES[:] = [Gate()]
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(adds, "waits")
        assert isinstance((await failure(run)).error, StepTimeout)
        assert await (await coordinator.start(adds, "a")).result(30) == 1
    assert rows(books) == ["a"]


@on_a_loop
async def test_an_async_one_costs_no_sqlite_worker_its_lease(sqlite_url: str) -> None:
    """S18: broken off at half the lease."""

    @transaction(retry=ONCE)
    async def sits(db: AsyncConnection) -> None:
        await db.run_sync(put, "late")
        await GATES[0].opened.wait()

    @saga
    async def body() -> None:
        await sits()

    GATES[:] = [Gate()]
    with opened(sqlite_url) as books:
        async with Coordinator(sqlite_url, lease=dt.timedelta(seconds=1)) as coordinator:
            run = await coordinator.start(body)
            assert await (await coordinator.start(adds, "b")).result(30)
            assert "half the worker's lease" in str((await failure(run)).error)
        assert rows(books) == ["b"]
