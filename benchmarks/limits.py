"""The store's own limits, with its bare driver: durable one-row commits and grouped inserts."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from typing import Any

import psycopg
from sqlalchemy import make_url

from benchmarks.figures import Limits

COMMITS = 1000
ROWS = 50_000
ROWS_A_COMMIT = 1000
ROWS_A_STATEMENT = 500

Row = tuple[str, int, str, int, int, int, str, bytes]

TABLE = """
    CREATE TABLE probe (run_id text, seq integer, kind text, at bigint, ref integer, attempt integer,
                        name text, payload bytea, PRIMARY KEY (run_id, seq))
"""
SQLITE_INSERT = "INSERT INTO probe VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
POSTGRES_INSERT = "INSERT INTO probe VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"
POSTGRES_GROUPED_INSERT = """
    INSERT INTO probe SELECT * FROM unnest(%s::text[], %s::int[], %s::text[], %s::bigint[], %s::int[],
                                           %s::int[], %s::text[], %s::bytea[])
"""


async def measure(url: str, commits: int = COMMITS, rows: int = ROWS) -> dict[str, float]:
    """Measure both limits of the store at `url`, as the fields of `Limits`."""
    database = make_url(url)
    if database.get_backend_name() == "sqlite":
        return asdict(_sqlite(str(database.database), commits, rows))
    return asdict(
        _postgres(database.set(drivername="postgresql").render_as_string(hide_password=False), commits, rows)
    )


def _rows(run: str) -> Iterator[Row]:
    """Make rows of the shape and size of a journal's: five to a run."""
    number = 0
    while True:
        yield (
            f"{run}-{number // 5:08}",
            number % 5,
            "outcome",
            1_700_000_000_000 + number,
            number,
            1,
            "benchmarks.trivial",
            b'{"value": 1, "note": "as long as a small result"}',
        )
        number += 1


def _sqlite(path: str, commits: int, rows: int) -> Limits:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(TABLE)
    started = time.perf_counter()
    for row in islice(_rows("single"), commits):
        connection.execute(SQLITE_INSERT, row)
    singles = time.perf_counter() - started
    source = _rows("grouped")
    grouped = 0.0
    for _ in range(0, rows, ROWS_A_COMMIT):
        batch = list(islice(source, ROWS_A_COMMIT))
        started = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(SQLITE_INSERT, batch)
        connection.execute("COMMIT")
        grouped += time.perf_counter() - started
    connection.close()
    return Limits(commits / singles, rows / grouped)


def _postgres(address: str, commits: int, rows: int) -> Limits:
    with psycopg.connect(address, autocommit=True, prepare_threshold=0) as connection:
        connection.execute(TABLE)
        started = time.perf_counter()
        for row in islice(_rows("single"), commits):
            connection.execute(POSTGRES_INSERT, row)
        singles = time.perf_counter() - started
        source = _rows("grouped")
        grouped = 0.0
        for _ in range(0, rows, ROWS_A_COMMIT):
            batches = [
                _columns(list(islice(source, ROWS_A_STATEMENT)))
                for _ in range(ROWS_A_COMMIT // ROWS_A_STATEMENT)
            ]
            started = time.perf_counter()
            with connection.transaction():
                for columns in batches:
                    connection.execute(POSTGRES_GROUPED_INSERT, columns)
            grouped += time.perf_counter() - started
    return Limits(commits / singles, rows / grouped)


def _columns(rows: list[Row]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
