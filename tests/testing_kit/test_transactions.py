"""Transactional steps in the kit: on an engine of the world's, exactly once whatever goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, delete, insert, select

from amends.sagas import (
    DefinitionError,
    Report,
    Undo,
    current_step,
    outgoing,
    saga,
    step,
    transaction,
)
from amends.sagas.testing import crash_test, simulate
from tests.sagas.ledgers import METADATA, ROWS


class Books:
    """A world that is a database."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def reset(self) -> None:
        METADATA.drop_all(self.engine)
        METADATA.create_all(self.engine)

    def snapshot(self) -> list[Any]:
        with self.engine.connect() as db:
            return sorted(db.execute(select(ROWS.c.what)).scalars())


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    """Give a world in a file."""
    engine = create_engine(f"sqlite:///{tmp_path / 'books.db'}")
    yield Books(engine)
    engine.dispose()


@transaction(name="kit.tx.add")
def add(db: Connection, what: str) -> None:
    """Add a row; two calls are two rows."""
    db.execute(insert(ROWS).values(what=what))


@add.compensation(name="kit.tx.remove")
def remove(undo: Undo[None], db: Connection, what: str) -> None:
    db.execute(delete(ROWS).where(ROWS.c.what == what))


@step(name="kit.tx.elsewhere")
async def elsewhere() -> None: ...


@saga(name="kit.tx.adds")
async def adds(first: str, second: str) -> None:
    await add(first)
    await elsewhere()
    await add(second)


def test_transactions_are_exactly_once_under_every_kill(books: Books) -> None:
    """S3, S9: the rows alone say so: nothing in the step looks for keys."""
    report = crash_test(adds, ("a", "b"), world=books)
    assert report.ends["completed"] > 0
    assert report.ends["compensated"] > 0


def test_transactions_are_exactly_once_under_seeds(books: Books) -> None:
    """S6, S18: with frozen workers that wake late."""
    simulate(adds, ("a", "b"), world=books, seeds=range(60))


def test_a_world_without_an_engine_is_told_what_it_lacks() -> None:
    """Section 2: instead of a step that fails for no reason."""

    class Empty:
        def reset(self) -> None: ...
        def snapshot(self) -> None: ...

    with pytest.raises(DefinitionError, match="engine"):
        crash_test(adds, ("a", "b"), world=Empty(), most=1)


@outgoing(name="kit.tx.announce")
async def announce(what: str) -> None:
    raise AssertionError(what)


@transaction(name="kit.tx.tells")
def tells(db: Connection, what: str) -> None:
    db.execute(insert(ROWS).values(what=what))
    current_step().outbox.put(announce, what)


@saga(name="kit.tx.told")
async def told(what: str) -> None:
    await tells(what)


@told.on_complete(name="kit.tx.handler")
async def handler(report: Report[None]) -> None:
    raise AssertionError(report)


def test_who_only_hears_of_a_run_is_left_out(books: Books) -> None:
    """The kit judges one run's effects: what outboxes and handlers send is no part of them."""
    crash_test(told, "a", world=books)
    simulate(told, "a", world=books, seeds=range(20))
