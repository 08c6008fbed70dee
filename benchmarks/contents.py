"""What a database holds: its rows, whatever the tables, and its bytes."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Engine, MetaData, create_engine, func, inspect, make_url, select, text

SYSTEM_SCHEMAS = frozenset({"information_schema", "pg_catalog"})


def backend(url: str) -> str:
    """Name the store behind a database URL: `sqlite` or `postgresql`."""
    return make_url(url).get_backend_name()


def rows(url: str) -> int:
    """Count the rows of all tables."""
    engine = _engine(url)
    tables = MetaData()
    for schema in set(inspect(engine).get_schema_names()) - SYSTEM_SCHEMAS:
        tables.reflect(engine, schema=schema)
    with engine.connect() as connection:
        counts = (
            connection.scalar(select(func.count()).select_from(table)) for table in tables.sorted_tables
        )
        total = sum(count or 0 for count in counts)
    engine.dispose()
    return total


def size(url: str) -> int:
    """Give the bytes that the database takes, indexes included."""
    engine = _engine(url)
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            pages = connection.scalar(text("PRAGMA page_count")) or 0
            free = connection.scalar(text("PRAGMA freelist_count")) or 0
            total = (pages - free) * (connection.scalar(text("PRAGMA page_size")) or 0)
        else:
            total = connection.scalar(text("SELECT pg_database_size(current_database())")) or 0
    engine.dispose()
    return int(total)


def all_ended(url: str) -> Callable[[], bool]:
    """Give a function that tells whether no run is left to do."""
    engine = _engine(url)
    runs = "amends_runs" if backend(url) == "sqlite" else "amends.runs"
    left = text(f"SELECT 1 FROM {runs} WHERE ended_at IS NULL LIMIT 1")  # noqa: S608 - no value is in it

    def look() -> bool:
        with engine.connect() as connection:
            return connection.scalar(left) is None

    return look


def _engine(url: str) -> Engine:
    address = make_url(url)
    if backend(url) == "postgresql":
        address = address.set(drivername="postgresql+psycopg")
    return create_engine(address)
