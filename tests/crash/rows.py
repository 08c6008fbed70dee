"""A table of the application's own in the database of the log: what transactional steps write."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Column, Connection, Engine, Integer, MetaData, Table, Text, delete, insert, select

METADATA = MetaData()
ROWS = Table(
    "crash_rows", METADATA, Column("id", Integer, primary_key=True), Column("run", Text), Column("name", Text)
)


def put(db: Connection, run: str, name: str) -> None:
    """Write a row; nothing keeps a second one out but amends."""
    db.execute(insert(ROWS).values(run=run, name=name))


def remove(db: Connection, run: str, name: str) -> None:
    """Take a run's row of a name back."""
    db.execute(delete(ROWS).where(ROWS.c.run == run, ROWS.c.name == name))


def rows(engine: Engine, run: str) -> Sequence[str]:
    """Give the names of a run's rows."""
    with engine.connect() as db:
        return [str(name) for name in db.execute(select(ROWS.c.name).where(ROWS.c.run == run)).scalars()]
