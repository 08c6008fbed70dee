"""A table of the application's own, the transactions that write it, and what the tests do to them."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    Table,
    Text,
    create_engine,
    event,
    insert,
    select,
)
from sqlalchemy.exc import OperationalError

from amends.persistence import guests
from amends.persistence.url import normalised

METADATA = MetaData()
ROWS = Table("rows", METADATA, Column("id", Integer, primary_key=True), Column("what", Text))
BRIEF = dt.timedelta(milliseconds=300)


def put(db: Connection, what: str) -> int:
    """Write one row of the application's own."""
    return int(db.execute(insert(ROWS).values(what=what).returning(ROWS.c.id)).scalar_one())


@contextlib.contextmanager
def opened(url: str) -> Iterator[Engine]:
    """Give an engine on the database, with the table made."""
    engine = create_engine(normalised(url))
    try:
        METADATA.create_all(engine)
        yield engine
    finally:
        engine.dispose()


def rows(engine: Engine) -> list[str]:
    """Give what stands in the table."""
    with engine.connect() as db:
        return [str(what) for what in db.execute(select(ROWS.c.what).order_by(ROWS.c.id)).scalars()]


@contextlib.contextmanager
def lost_replies(times: int, *, committed: bool) -> Iterator[None]:
    """Lose the next replies to a step's COMMIT, after or instead of the commit."""
    left = iter(range(times))

    def lose(connection: Connection) -> None:
        if connection not in guests._committing or next(left, None) is None:  # noqa: SLF001 - whose commit it is
            return
        driver = connection.connection.dbapi_connection
        assert driver is not None
        if committed:
            driver.commit()
        else:
            driver.rollback()
        raise OperationalError("COMMIT", {}, OSError("the reply is lost"))

    event.listen(Engine, "commit", lose)
    try:
        yield
    finally:
        event.remove(Engine, "commit", lose)
