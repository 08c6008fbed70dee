"""Runs that are started and cancelled with a caller's transaction: if and only if that commits."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.orm import Session

from amends.persistence.url import normalised
from amends.sagas import (
    ApprovalStatus,
    Coordinator,
    DatabaseUnavailable,
    InputInvalid,
    OtherDatabase,
    RunEnded,
    RunNotFound,
    StartConflict,
    Status,
    WaitsForItself,
    approval,
    receive,
    saga,
    sleep,
)
from tests.sagas.ledgers import opened, put, rows
from tests.sagas.running import ended, on_a_loop

KINDS = ("connection", "session", "async connection", "async session", "asyncpg")


@saga(name="joining.double")
async def double(number: int) -> int:
    return 2 * number


@saga(name="joining.rests")
async def rests() -> None:
    await sleep(dt.timedelta(days=1))


@pytest.fixture
def books(database_url: str) -> Iterator[Engine]:
    """Give an engine of the application's own on the same database."""
    with opened(database_url) as engine:
        yield engine


@contextlib.asynccontextmanager
async def transaction_of(kind: str, url: str, coordinator: Coordinator) -> AsyncIterator[tuple[Any, Any]]:
    """Give a connection or session of a kind in a transaction, and what writes one row with it."""
    if kind == "connection":
        with coordinator.engine.begin() as db:
            yield db, lambda what: put(db, what)
    elif kind == "session":
        with Session(coordinator.engine) as session, session.begin():
            yield session, lambda what: put(session.connection(), what)
    else:
        async with _async_transaction(kind, url) as (given, write):
            yield given, write


@contextlib.asynccontextmanager
async def _async_transaction(kind: str, url: str) -> AsyncIterator[tuple[Any, Any]]:
    for module in ("greenlet", "asyncpg" if kind == "asyncpg" else "aiosqlite"):
        pytest.importorskip(module, reason="async connections need amends[asyncio]")
    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine  # noqa: PLC0415 - where it can be

    known = normalised(url)
    if known.get_backend_name() == "sqlite":
        if kind == "asyncpg":
            pytest.skip("asyncpg is for PostgreSQL")
        known = known.set(drivername="sqlite+aiosqlite")
    else:
        known = known.set(
            drivername="postgresql+asyncpg" if kind == "asyncpg" else "postgresql+psycopg_async"
        )
    engine = create_async_engine(known)
    try:
        if kind == "async session":
            async with AsyncSession(engine) as session, session.begin():
                yield session, lambda what: session.run_sync(lambda sync: put(sync.connection(), what))
        else:
            async with engine.begin() as db:
                yield db, lambda what: db.run_sync(put, what)
    finally:
        await engine.dispose()


class Change(Exception):
    """What makes a caller roll back."""


@pytest.mark.parametrize("kind", KINDS)
@on_a_loop
async def test_a_run_exists_if_and_only_if_its_callers_transaction_commits(
    database_url: str, books: Engine, kind: str
) -> None:
    """S23: beside rows of the caller's own; it begins soon after the commit, in whatever process."""
    async with Coordinator(database_url, work=False) as asking, Coordinator(database_url):
        with contextlib.suppress(Change):
            async with transaction_of(kind, database_url, asking) as (given, write):
                made = write("a")
                await (made if asyncio.iscoroutine(made) else asyncio.sleep(0))
                await asking.start(double, 1, id="a", connection=given)
                raise Change
        with pytest.raises(RunNotFound):
            await asking.get("a")
        async with transaction_of(kind, database_url, asking) as (given, write):
            made = write("b")
            await (made if asyncio.iscoroutine(made) else asyncio.sleep(0))
            run = await asking.start(double, 2, id="b", connection=given)
            with pytest.raises(RunNotFound):
                await asking.get("b")
        assert await run.result(30) == 4
    assert rows(books) == ["b"]


@pytest.mark.parametrize("kind", KINDS)
@on_a_loop
async def test_a_start_that_conflicts_leaves_the_transaction_usable(
    database_url: str, books: Engine, kind: str
) -> None:
    """S17: the same run for the same input, in the same transaction too; else `StartConflict`."""
    async with Coordinator(database_url) as coordinator:
        await coordinator.start(double, 1, id="a")
        async with transaction_of(kind, database_url, coordinator) as (given, write):
            await coordinator.start(double, 1, id="a", connection=given)
            await coordinator.start(double, 2, id="b", connection=given)
            await coordinator.start(double, 2, id="b", connection=given)
            for taken in ("a", "b"):
                with pytest.raises(StartConflict):
                    await coordinator.start(double, 3, id=taken, connection=given)
            made = write("usable")
            await (made if asyncio.iscoroutine(made) else asyncio.sleep(0))
        assert await (await coordinator.get("b")).result(30) == 4
    assert rows(books) == ["usable"]


@pytest.mark.parametrize("kind", KINDS)
@on_a_loop
async def test_a_cancel_joins_a_transaction(database_url: str, books: Engine, kind: str) -> None:
    """S16, S23: asked when it commits, and not at all when it doesn't."""
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(rests)
        with contextlib.suppress(Change):
            async with transaction_of(kind, database_url, coordinator) as (given, _):
                await coordinator.cancel(run.id, connection=given)
                raise Change
        assert await run.status() is Status.WAITING
        async with transaction_of(kind, database_url, coordinator) as (given, _):
            await coordinator.cancel(run.id, reason="bored", connection=given)
            with pytest.raises(RunNotFound):
                await coordinator.cancel("nobody's", connection=given)
        assert await ended(run) is Status.CANCELLED
        async with transaction_of(kind, database_url, coordinator) as (given, _):
            with pytest.raises(RunEnded):
                await coordinator.cancel(run.id, connection=given)


@on_a_loop
async def test_an_engine_of_the_applications_own_will_do(database_url: str, books: Engine) -> None:
    """Section 2: where it provably leads to the same database."""
    async with Coordinator(database_url) as coordinator:
        with contextlib.suppress(Change), books.begin() as db:
            await coordinator.start(double, 1, id="a", connection=db)
            raise Change
        with books.begin() as db:
            run = await coordinator.start(double, 2, connection=db)
        assert await run.result(30) == 4
        assert len(await coordinator.list()) == 1


@on_a_loop
async def test_another_database_is_refused_with_both_named(
    sqlite_url: str, postgres_url: str, postgres_server: str, tmp_path: Path
) -> None:
    """S23: a row elsewhere would be in nobody's transaction; the caller's own stays usable."""
    other = f"sqlite:///{tmp_path / 'other.db'}"
    for url, elsewhere in ((sqlite_url, other), (postgres_url, postgres_server), (sqlite_url, postgres_url)):
        engine = create_engine(normalised(elsewhere))
        async with Coordinator(url) as coordinator:
            with engine.connect() as db:
                with pytest.raises(OtherDatabase, match=r"leads to .* is in"):
                    await coordinator.start(double, 1, connection=db)
                assert db.exec_driver_sql("SELECT 1").scalar() == 1
            assert await coordinator.list() == []
        engine.dispose()


@on_a_loop
async def test_a_schema_that_is_not_there_is_another_database(postgres_url: str) -> None:
    """S23: same server, same database, and no way to the tables."""
    async with Coordinator(postgres_url, schema="ours") as coordinator:
        engine = create_engine(normalised(postgres_url))
        with engine.begin() as db:
            db.exec_driver_sql("CREATE ROLE stranger")
            db.exec_driver_sql("SET LOCAL ROLE stranger")
            with pytest.raises(OtherDatabase, match="tables of amends can't be reached"):
                await coordinator.start(double, 1, connection=db)
            db.exec_driver_sql("RESET ROLE")
            db.exec_driver_sql("DROP ROLE stranger")
        engine.dispose()


@on_a_loop
async def test_a_connection_in_autocommit_is_no_transaction(database_url: str, books: Engine) -> None:
    """S23: there is nothing that could commit or not."""
    async with Coordinator(database_url) as coordinator:
        with (
            books.connect().execution_options(isolation_level="AUTOCOMMIT") as db,
            pytest.raises(DatabaseUnavailable),
        ):
            await coordinator.start(double, 1, connection=db)
        assert await coordinator.list() == []


@on_a_loop
async def test_what_is_no_connection_is_refused(sqlite_url: str) -> None:
    """Section 2: an engine, a URL."""
    async with Coordinator(sqlite_url) as coordinator:
        for given in (coordinator.engine, sqlite_url):
            with pytest.raises(InputInvalid, match="must be one of"):
                await coordinator.start(double, 1, connection=given)  # type: ignore[arg-type]


@on_a_loop
async def test_who_holds_the_file_is_told_instead_of_waiting_for_himself(sqlite_url: str) -> None:
    """Section 2: on SQLite a write of the coordinator's own waits for the open transaction."""
    async with Coordinator(sqlite_url) as coordinator:
        with coordinator.engine.begin() as db:
            run = await coordinator.start(rests, connection=db)
            with pytest.raises(WaitsForItself, match="connection="):
                await coordinator.start(double, 1)
            with pytest.raises(WaitsForItself):
                await coordinator.cancel(run.id)
            elsewhere = asyncio.create_task(coordinator.start(double, 2))
            await asyncio.sleep(0)
        assert await (await elsewhere).result(30) == 4
        await run.cancel()
        assert await ended(run) is Status.CANCELLED


@on_a_loop
async def test_postgresql_has_room_for_both(postgres_url: str) -> None:
    """Section 2: an open transaction keeps nobody else from writing."""
    async with Coordinator(postgres_url) as coordinator:
        with coordinator.engine.begin() as db:
            run = await coordinator.start(double, 1, connection=db)
            assert await (await coordinator.start(double, 2)).result(30) == 4
        assert await run.result(30) == 2


def test_the_blocking_door_joins_transactions_too(database_url: str, books: Engine) -> None:
    """Section 2: of sync connections; an async one belongs to a loop."""
    with Coordinator.sync(database_url) as coordinator:
        with books.begin() as db:
            put(db, "a")
            run = coordinator.start(double, 4, connection=db)
            resting = coordinator.start(rests, connection=db)
            if db.dialect.name == "sqlite":
                with pytest.raises(WaitsForItself):
                    coordinator.start(double, 5)
        assert run.result(30) == 8
        with Session(books) as session, session.begin():
            coordinator.cancel(resting.id, connection=session)
        with contextlib.suppress(Exception):
            resting.result(30)
        assert resting.status() is Status.CANCELLED
    assert rows(books) == ["a"]


def test_the_blocking_door_refuses_async_connections(sqlite_url: str) -> None:
    """Section 2: with words that say what to give."""

    class AsyncConnection(Connection):
        def __init__(self) -> None: ...

    AsyncConnection.__module__ = "sqlalchemy.ext.asyncio.engine"
    with Coordinator.sync(sqlite_url) as coordinator, pytest.raises(InputInvalid, match="blocking door"):
        coordinator.start(double, 1, connection=AsyncConnection())


@saga(name="joining.listens")
async def listens() -> list[int]:
    return [await receive(int, name="number"), await receive(int, name="number")]


@saga(name="joining.asks")
async def asks() -> str:
    return (await approval(title="Pay?")).status.value


@pytest.mark.parametrize("kind", KINDS)
@on_a_loop
async def test_a_signal_is_sent_if_and_only_if_its_callers_transaction_commits(
    database_url: str, books: Engine, kind: str
) -> None:
    """Also to a run that the same transaction starts (S23)."""
    async with Coordinator(database_url, work=False) as asking, Coordinator(database_url):
        with contextlib.suppress(Change):
            async with transaction_of(kind, database_url, asking) as (given, _write):
                await asking.start(listens, id="never", connection=given)
                await asking.signal("never", "number", 1, connection=given)
                raise Change
        async with transaction_of(kind, database_url, asking) as (given, _write):
            run = await asking.start(listens, id="a", connection=given)
            await asking.signal("a", "number", 1, connection=given)
            with pytest.raises(InputInvalid):
                await asking.signal("a", "number", "many", connection=given)
        with contextlib.suppress(Change):
            async with transaction_of(kind, database_url, asking) as (given, _write):
                await asking.signal("a", "number", 5, connection=given)
                raise Change
        async with transaction_of(kind, database_url, asking) as (given, _write):
            await asking.signal_or_start(
                listens, id="a", name="number", payload=2, message_id="m", connection=given
            )
        assert await run.result(30) == [1, 2]


@pytest.mark.parametrize("kind", KINDS)
@on_a_loop
async def test_a_decision_counts_if_and_only_if_its_callers_transaction_commits(
    database_url: str, books: Engine, kind: str
) -> None:
    """S23, A10."""
    async with Coordinator(database_url, work=False) as asking, Coordinator(database_url) as working:
        run = await working.start(asks, id="a")
        await working.run_until_idle()
        (pending,) = await asking.approvals()
        with contextlib.suppress(Change):
            async with transaction_of(kind, database_url, asking) as (given, _write):
                await asking.decide(pending.id, approved=False, by="ann", connection=given)
                raise Change
        assert (await asking.approval(pending.id)).status is ApprovalStatus.PENDING
        async with transaction_of(kind, database_url, asking) as (given, _write):
            await asking.decide(pending.id, approved=True, by="ann", connection=given)
        assert await run.result(30) == "approved"


@on_a_loop
async def test_calls_at_once_with_one_connection_follow_one_another(database_url: str, books: Engine) -> None:
    """Their savepoints would end each other."""
    async with Coordinator(database_url) as coordinator:
        with books.begin() as db:
            runs = await asyncio.gather(
                *(coordinator.start(double, n, id=f"run-{n}", connection=db) for n in range(8))
            )
        assert [await run.result(30) for run in runs] == [2 * n for n in range(8)]


@on_a_loop
async def test_a_connection_that_was_closed_is_refused_in_our_words(database_url: str, books: Engine) -> None:
    async with Coordinator(database_url) as coordinator:
        with books.connect() as db:
            pass
        with pytest.raises(InputInvalid, match="was closed before"):
            await coordinator.start(double, 1, connection=db)
