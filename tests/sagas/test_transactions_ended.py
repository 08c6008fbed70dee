"""Steps that end their transaction themselves, past SQLAlchemy: what stands is what is told."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, delete
from sqlalchemy.ext.asyncio import AsyncConnection

from amends.sagas import Coordinator, DefinitionError, Status, Undo, saga, transaction
from amends.sagas.journal import Kind
from tests.sagas.ledgers import ROWS, opened, put, rows
from tests.sagas.running import AT_ONCE, ONCE, ended, failure, on_a_loop

CALLS: list[str] = []


@pytest.fixture
def books(database_url: str) -> Iterator[Engine]:
    """Give an engine on the application's table."""
    CALLS.clear()
    with opened(database_url) as engine:
        yield engine


def end(db: Connection, how: str) -> None:
    """End a transaction in a way that SQLAlchemy doesn't notice, or that amends refuses."""
    driver: Any = db.connection.dbapi_connection
    if how.startswith("sql"):
        db.exec_driver_sql(how.split()[1].upper())
    elif how.startswith("driver"):
        getattr(driver, how.split()[1])()
    elif how == "swallowed":
        with contextlib.suppress(Exception):
            db.commit()
    elif how == "closed":
        db.close()
    if how.endswith("begin"):
        db.exec_driver_sql("BEGIN")
        put(db, "afterwards")


@transaction(name="ended.ends", retry=ONCE)
def ends(db: Connection, how: str) -> str:
    CALLS.append(how)
    put(db, how)
    end(db, how.removesuffix(" raise"))
    if how.endswith("raise"):
        raise ValueError(how)
    return "done"


@transaction(name="ended.ends_async", retry=ONCE)
async def ends_async(db: AsyncConnection, how: str) -> str:
    CALLS.append(how)
    await db.run_sync(put, how)
    await db.run_sync(end, how)
    return "done"


@saga(name="ended.body")
async def body(how: str) -> str:
    return await ends(how)


@saga(name="ended.body_async")
async def body_async(how: str) -> str:
    return await ends_async(how)


COMMITS = ("sql commit", "driver commit", "sql commit begin", "sql commit raise")
NOTHING = ("sql rollback", "driver rollback", "sql rollback begin", "swallowed", "closed", "swallowed raise")


@pytest.mark.parametrize("how", COMMITS)
@on_a_loop
async def test_what_a_step_has_committed_itself_is_never_called_undone(
    database_url: str, books: Engine, how: str
) -> None:
    """S13: its rows stand without its result, so the run fails, and says what it has left standing."""
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(body, how)
        assert "committed by SQL of its own: its rows stand" in str((await failure(run)).error)
        (left,) = await run.left_standing()
        assert left.step == "ended.ends"
    assert rows(books) == [how]
    assert len(CALLS) == 1


@pytest.mark.parametrize("how", NOTHING)
@on_a_loop
async def test_what_a_step_has_rolled_back_itself_has_not_landed(
    database_url: str, books: Engine, how: str
) -> None:
    """S2: a run that completes has what its steps have done; here nothing is there."""
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(body, how)
        error = str((await failure(run)).error)
        assert "its transaction itself" in error or how.endswith("raise")
        assert await run.left_standing() == []
        assert {entry.meta.get("outcome") for entry in await run.journal()} >= {"not_landed"}
    assert rows(books) == []


@pytest.mark.parametrize("how", ["sql commit", "sql rollback", "swallowed"])
@on_a_loop
async def test_async_steps_are_found_out_as_well(database_url: str, books: Engine, how: str) -> None:
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(body_async, how)
        assert "itself" in str((await failure(run)).error) or how == "sql commit"
        assert bool(await run.left_standing()) == (how == "sql commit")
    assert rows(books) == ([how] if how == "sql commit" else [])


@on_a_loop
async def test_a_refused_commit_is_rolled_back_before_anything_else_is_written(
    database_url: str, books: Engine
) -> None:
    """S2: the attempt that bars those before it doesn't commit what the step has left open."""

    @transaction(retry=AT_ONCE)
    def swallows(db: Connection) -> None:
        CALLS.append("")
        put(db, "swallowed")
        end(db, "swallowed")

    @saga
    async def tries() -> None:
        await swallows()

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(tries)
        assert await ended(run) is Status.FAILED
        assert await run.left_standing() == []
    assert len(CALLS) == 3
    assert rows(books) == []


@on_a_loop
async def test_rows_that_a_step_has_committed_itself_are_still_undone(
    database_url: str, books: Engine
) -> None:
    """S3, S26: landed, the result lost, and owed."""

    @transaction(retry=ONCE)
    def commits(db: Connection, what: str) -> int:
        made = put(db, what)
        end(db, "sql commit")
        return made

    @commits.compensation
    def removes(undo: Undo[int], db: Connection, what: str) -> None:
        assert undo.result is None
        db.execute(delete(ROWS).where(ROWS.c.what == what))

    @saga
    async def once() -> int:
        return await commits("a")

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(once)
        assert await ended(run) is Status.COMPENSATED
        assert Kind.UNDONE in [entry.kind for entry in await run.journal()]
    assert rows(books) == []


def test_what_is_wrong_with_a_transaction_is_said_of_a_transaction() -> None:
    wrong: Any
    for option, wrong in (("effect", "none"), ("timeout", 5), ("retry", 3), ("no_effect", 5)):
        with pytest.raises(DefinitionError, match=f"^@transaction: {option}="):
            transaction(**{option: wrong})
