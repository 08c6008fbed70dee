"""Databases for cycles: each its own, copied from one that has been made already; and what stands in them."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
from psycopg import sql
from sqlalchemy import func, select

from amends.persistence.approval_records import ApprovalRow
from amends.persistence.database import Database
from amends.persistence.records import AuditRow, InboxRow, RunRow, Status, WorkerRow
from amends.persistence.tables import Tables, tables_in
from amends.sagas.journal import Entry, Kind, from_row
from tests.crash.rows import METADATA, ROWS, rows


@dataclass(frozen=True, slots=True)
class Record:
    """What a database says of one run."""

    row: RunRow
    entries: list[Entry]
    audit: list[AuditRow]
    unread: tuple[InboxRow, ...]
    approvals: list[ApprovalRow] = field(default_factory=list)


class Ledger:
    """A database for as long as a block runs, and what stands in it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._database: Database | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._database is not None:
            self._database.close()

    def record(self, run_id: str) -> Record | None:
        """Read what stands there of a run; None where there is no such run."""
        loaded = self._opened.load(run_id)
        if loaded is None:
            return None
        entries = [from_row(row) for row in loaded.entries]
        asked = self._opened.approvals(run_id=run_id, limit=1_000)
        return Record(loaded.run, entries, self._opened.audit(run_id), loaded.inbox, asked)

    def below(self, run_id: str) -> list[Record]:
        """Read what stands there of a run's children, and of theirs."""
        rows = [row for row in self._opened.runs(limit=1_000) if row.root == run_id]
        return [record for row in rows if (record := self.record(row.id)) is not None]

    def rows(self, run_id: str) -> Sequence[str]:
        """Read the rows that the run's steps have written in transactions of their own."""
        return rows(self._opened.engine, run_id)

    def runs(self) -> dict[str, RunRow]:
        """Read all runs."""
        return {row.id: row for row in self._opened.runs(limit=1_000)}

    def status(self, run_id: str) -> str:
        """Read a run's status; empty where there is no run."""
        row = self._opened.run(run_id)
        return "" if row is None else str(row.status)

    def going(self, *, parked: bool = True) -> list[str]:
        """Name the runs that haven't ended, child runs too; parked ones only where they count."""
        runs = self._tables.runs
        found = select(runs.c.id).where(runs.c.ended_at.is_(None))
        if not parked:
            found = found.where(runs.c.status != Status.PARKED)
        with self._opened.engine.connect() as connection:
            return list(connection.execute(found).scalars())

    def counts(self) -> dict[str, int]:
        """Count all runs by their status."""
        runs = self._tables.runs
        with self._opened.engine.connect() as connection:
            found = connection.execute(select(runs.c.status, func.count()).group_by(runs.c.status))
            return {status: int(count) for status, count in found}

    def shares(self) -> dict[str, int]:
        """Count the calls that each worker has begun."""
        journal = self._tables.journal
        intents = select(journal.c.meta).where(journal.c.kind == Kind.INTENT)
        with self._opened.engine.connect() as connection:
            return Counter(json.loads(meta)["worker"] for meta in connection.execute(intents).scalars())

    def workers(self) -> list[WorkerRow]:
        """Read the workers that aren't known to be dead."""
        return self._opened.workers()

    def free(self) -> bool:
        """Tell whether nobody holds the database's lock; on PostgreSQL there is no such lock."""
        if not self.url.startswith("sqlite"):
            return True
        path = self.url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, timeout=0.2, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            connection.execute("ROLLBACK")
            return True

    @property
    def _tables(self) -> Tables:
        return tables_in("amends") if self.url.startswith("postgres") else tables_in(None, "amends_")

    @property
    def _opened(self) -> Database:
        if self._database is None:
            self._database = Database.open(self.url, migrate=False)
        return self._database


Store = Callable[[], AbstractContextManager[Ledger]]
"""Gives a fresh database, for as long as a block runs."""


def sqlite_store(directory: Path) -> Store:
    """Make a store of files in a directory."""
    template = directory / "template.db"
    _make(f"sqlite:///{template}")

    @contextmanager
    def fresh() -> Iterator[Ledger]:
        place = directory / uuid4().hex
        place.mkdir()
        shutil.copyfile(template, place / "amends.db")
        with Ledger(f"sqlite:///{place / 'amends.db'}") as ledger:
            yield ledger
        shutil.rmtree(place)

    return fresh


def postgres_store(server_url: str) -> Store:
    """Make a store of databases on a server; one that is given back is emptied and given again."""
    server_url = server_url.replace("postgresql+psycopg://", "postgresql://", 1)
    template = f"amends_crash_{uuid4().hex}"
    _execute(server_url, sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(template)))
    _make(_at(server_url, template))
    free: list[str] = []

    def another() -> str:
        name = f"amends_crash_{uuid4().hex}"
        made = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
            sql.Identifier(name), sql.Identifier(template)
        )
        _execute(server_url, made)
        return _at(server_url, name)

    @contextmanager
    def fresh() -> Iterator[Ledger]:
        url = free.pop() if free else another()
        with Ledger(url) as ledger:
            yield ledger
        # After an error it isn't given again: who knows who is still at work there.
        named = [sql.Identifier("amends", table) for table in EMPTIED]
        tables = sql.SQL(", ").join([*named, sql.Identifier(ROWS.name)])
        _execute(url, sql.SQL("TRUNCATE {}").format(tables))
        free.append(url)

    return fresh


EMPTIED = [table.name for table in tables_in(schema="amends").metadata.sorted_tables]


def _make(url: str) -> None:
    """Make all tables."""
    database = Database.open(url)
    METADATA.create_all(database.engine)
    database.close()


def _at(server_url: str, name: str) -> str:
    return urlsplit(server_url)._replace(path=f"/{name}").geturl()


def _execute(url: str, statement: sql.Composed) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)
