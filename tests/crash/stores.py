"""Databases for cycles: each its own, copied from one that has been made already; and what stands in them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
from psycopg import sql

from amends.persistence.database import Database
from amends.persistence.records import AuditRow, InboxRow, RunRow, WorkerRow
from amends.sagas.journal import Entry, from_row

Store = Callable[[], AbstractContextManager[str]]
"""Gives the URL of a fresh database, for as long as a block runs."""


@dataclass(frozen=True, slots=True)
class Record:
    """What a database says of one run."""

    row: RunRow
    entries: list[Entry]
    audit: list[AuditRow]
    unread: tuple[InboxRow, ...]


def record_of(url: str, run_id: str) -> Record | None:
    """Read what stands there of a run; None where there is no such run."""
    with closing(Database.open(url, migrate=False)) as database:
        loaded = database.load(run_id)
        if loaded is None:
            return None
        return Record(
            loaded.run, [from_row(row) for row in loaded.entries], database.audit(run_id), loaded.inbox
        )


def runs_in(url: str) -> dict[str, RunRow]:
    """Read all runs."""
    with closing(Database.open(url, migrate=False)) as database:
        return {row.id: row for row in database.runs(limit=1_000)}


def workers_in(url: str) -> list[WorkerRow]:
    """Read the workers that aren't known to be dead."""
    with closing(Database.open(url, migrate=False)) as database:
        return database.workers()


def sqlite_store(directory: Path) -> Store:
    """Make a store of files in a directory."""
    template = directory / "template.db"
    Database.open(f"sqlite:///{template}").close()

    @contextmanager
    def fresh() -> Iterator[str]:
        place = directory / uuid4().hex
        place.mkdir()
        shutil.copyfile(template, place / "amends.db")
        try:
            yield f"sqlite:///{place / 'amends.db'}"
        finally:
            shutil.rmtree(place)

    return fresh


def postgres_store(server_url: str) -> Store:
    """Make a store of databases on a server; one that is given back is emptied and given again."""
    server_url = server_url.replace("postgresql+psycopg://", "postgresql://", 1)
    template = f"amends_crash_{uuid4().hex}"
    _execute(server_url, sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(template)))
    Database.open(_at(server_url, template)).close()
    free: list[str] = []

    def another() -> str:
        name = f"amends_crash_{uuid4().hex}"
        made = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
            sql.Identifier(name), sql.Identifier(template)
        )
        _execute(server_url, made)
        return _at(server_url, name)

    @contextmanager
    def fresh() -> Iterator[str]:
        url = free.pop() if free else another()
        yield url
        # After an error it isn't given again: who knows who is still at work there.
        tables = sql.SQL(", ").join(sql.Identifier("amends", table) for table in EMPTIED)
        _execute(url, sql.SQL("TRUNCATE {}").format(tables))
        free.append(url)

    return fresh


EMPTIED = ("runs", "journal", "inbox", "workers", "audit")


def _at(server_url: str, name: str) -> str:
    return urlsplit(server_url)._replace(path=f"/{name}").geturl()


def _execute(url: str, statement: sql.Composed) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)
