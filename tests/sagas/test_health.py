"""Whether a coordinator can do its work just now."""

import asyncio
import contextlib
import datetime as dt
from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, text

from amends.sagas import Coordinator, Health, health
from tests.sagas.running import on_a_loop

LEASE = dt.timedelta(milliseconds=600)


@contextlib.contextmanager
def locked(url: str) -> Iterator[None]:
    """Keep everybody else from writing, and on a server from reading too."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(text("LOCK TABLE amends.workers IN ACCESS EXCLUSIVE MODE"))
        yield
        connection.rollback()
    engine.dispose()


async def until_ready(coordinator: Coordinator, *, ready: bool) -> Health:
    while (found := await coordinator.health()).ready is not ready:  # noqa: ASYNC110 - another is asked
        await asyncio.sleep(0.01)
    return found


@on_a_loop
async def test_a_worker_is_ready_while_its_lease_is_good(database_url: str) -> None:
    async with Coordinator(database_url, lease=LEASE) as coordinator:
        assert await coordinator.health() == Health(ready=True)
        with locked(database_url):
            told = await until_ready(coordinator, ready=False)
            assert "can't be written" in (told.reason or "")
        await until_ready(coordinator, ready=True)


@on_a_loop
async def test_who_only_starts_runs_is_ready_while_the_database_answers(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "PATIENCE", 0.2)
    async with Coordinator(postgres_url, work=False) as coordinator:
        assert await coordinator.health() == Health(ready=True)
        with locked(postgres_url):
            told = await until_ready(coordinator, ready=False)
            assert told.reason == "the database gave no answer within 0.2 s"
        await until_ready(coordinator, ready=True)


@on_a_loop
async def test_a_database_that_is_gone_is_told(sqlite_url: str) -> None:
    async with Coordinator(sqlite_url, work=False) as coordinator:
        with create_engine(sqlite_url).begin() as connection:
            connection.exec_driver_sql("ALTER TABLE amends_workers RENAME TO gone")
        told = await coordinator.health()
        assert not told.ready
        assert "no such table: amends_workers" in (told.reason or "")
        with create_engine(sqlite_url).begin() as connection:
            connection.exec_driver_sql("ALTER TABLE gone RENAME TO amends_workers")


@on_a_loop
async def test_a_coordinator_that_is_not_open_is_not_ready(sqlite_url: str) -> None:
    coordinator = Coordinator(sqlite_url)
    assert await coordinator.health() == Health(ready=False, reason="it isn't open")
    async with coordinator:
        assert (await coordinator.health()).ready
    assert not (await coordinator.health()).ready


def test_the_blocking_door_tells_it_too(sqlite_url: str) -> None:
    with Coordinator.sync(sqlite_url) as coordinator:
        assert coordinator.health().ready
