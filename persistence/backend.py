"""What a database must offer to hold the log; `sqlite` and `postgres` are the two that do."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from sqlalchemy import (
    BigInteger,
    Boolean,
    Connection,
    Engine,
    Executable,
    LargeBinary,
    SmallInteger,
    Text,
)
from sqlalchemy.sql import ColumnElement, FromClause
from sqlalchemy.sql.schema import Table
from sqlalchemy.types import TypeEngine

from amends.persistence.guests import Guests
from amends.persistence.records import WorkerRow
from amends.persistence.tables import Tables

Cell = str | int | bytes | bool | None
"""What a column holds."""

Columns = Mapping[str, ColumnElement[Any]]
"""The values of one row among many, by name, as a statement speaks of them."""

ColumnTypes = Mapping[
    str, type[Text] | type[BigInteger] | type[SmallInteger] | type[LargeBinary] | type[Boolean]
]
"""The columns of rows that are given to a statement: their names and SQL types, in order."""


class Many(Protocol):
    """One statement prepared for any number of rows: as cheap as the driver allows."""

    def __call__(self, connection: Connection, rows: Sequence[tuple[Cell, ...]]) -> None:
        """Execute it for all `rows`, whose cells stand in the order of its columns."""
        ...


class WorkerLock(Protocol):
    """The sign of life of a worker that its operating system takes away when it dies."""

    def release(self) -> None:
        """Give it up, and leave no trace of it."""
        ...


class Watch(Protocol):
    """Notice what others have committed."""

    def use(self, connection: Connection) -> None:
        """Make use of the writer's connection, whenever that is a new one, and prepare it."""
        ...

    def poll(self) -> float:
        """Look now, if it is time to, and return after how many seconds to look again."""
        ...

    def guard(self, connection: Connection | None) -> None:
        """Break `connection` if it stays without an answer for too long from now on; None: no longer."""
        ...

    def close(self) -> None:
        """Stop watching."""
        ...


class Backend(Protocol):
    """All that differs between the databases."""

    tables: Tables
    engine: Engine
    """For the application: reads and transactions of its own."""
    reads: Engine
    """For the queries of amends: one statement each, nothing is written."""
    writes: Engine
    """For the one connection of a writer."""
    migrations: Engine
    """For upgrades: they wait for one another as long as it takes."""
    engines: tuple[Engine, ...]
    """All of them that have a pool of their own."""
    guests: Guests
    """For the transactions of steps and callers."""

    @abstractmethod
    def prepare(self) -> None:
        """Make the database ready to hold tables, or raise why it can't."""
        ...

    @abstractmethod
    def snapshot(self) -> AbstractContextManager[Connection]:
        """Give a connection on which several reads see one moment."""
        ...

    @abstractmethod
    def lock_migration(self, connection: Connection) -> None:
        """Keep other processes from migrating until the transaction ends, and make room for the tables."""
        ...

    @abstractmethod
    def server_time(self) -> ColumnElement[int] | None:
        """Return the server's clock in milliseconds, or None where the system's clock is the database's."""
        ...

    @abstractmethod
    def change_number(self) -> ColumnElement[int]:
        """Return the number that a statement of this transaction gives to the runs that it changes."""
        ...

    @abstractmethod
    def moment(self) -> ColumnElement[str]:
        """Return what a statement sees: which changes have been committed before it."""
        ...

    @abstractmethod
    def changed_since(self, name: str) -> ColumnElement[bool]:
        """Say that a run's change wasn't seen at the moment given as the parameter `name`, and is now."""
        ...

    @abstractmethod
    def listed(self, name: str, columns: ColumnTypes) -> FromClause:
        """Return rows that are given as the parameter `name`, as made by `listing`."""
        ...

    @abstractmethod
    def among(self, column: ColumnElement[str], name: str) -> ColumnElement[bool]:
        """Say that `column` is one of the ids given as the parameter `name`, so that its index is used."""
        ...

    @abstractmethod
    def many(self, columns: ColumnTypes, build: Callable[[Columns], Executable]) -> Many:
        """Prepare the statement that `build` makes of one row's values for many rows."""
        ...

    @abstractmethod
    def insert(self, table: Table, columns: Sequence[str]) -> Many:
        """Prepare the insertion of many rows into `table`."""
        ...

    @abstractmethod
    def insert_missing(self, table: Table, values: Mapping[str, Any]) -> Executable:
        """Return the insertion of a row into `table`, unless there is one of its key."""
        ...

    @abstractmethod
    def insert_runs(self, connection: Connection, rows: Sequence[tuple[Cell, ...]]) -> set[str]:
        """Insert runs, whole rows, unless their ids are taken; return those that were inserted."""
        ...

    @abstractmethod
    def announce(self, connection: Connection, sender: str, *, shown: bool = False) -> None:
        """Tell the other processes at this transaction's commit that there is news.

        `shown` tells that it only concerns who watches runs.
        """
        ...

    @abstractmethod
    def watch(self, sender: str, on_news: Callable[[], None], on_shown: Callable[[], None]) -> Watch:
        """Call `on_news` after commits of others; `poll` and `guard` are for the writer's thread.

        `on_shown` is called instead after those that only concern who watches runs, where that is known.
        """
        ...

    @abstractmethod
    def lock_worker(self, worker: str) -> WorkerLock:
        """Take the worker's sign of life; raises `WorkerNameTaken` while another process has it."""
        ...

    @abstractmethod
    def vanished(self, worker: WorkerRow) -> bool:
        """Tell whether the worker's process is known to have died, whatever its lease says."""
        ...

    @abstractmethod
    def bury(self, worker: str) -> None:
        """Remove what a dead worker left beside the database."""
        ...


def column_types(table: Table, names: Iterable[str]) -> ColumnTypes:
    """Return the types of some columns of `table`, each as one of the five kinds."""
    return {name: _kind(table.c[name].type) for name in names}


def _kind(kind: TypeEngine[Any]) -> type[Text | BigInteger | SmallInteger | LargeBinary | Boolean]:
    for known in (BigInteger, SmallInteger, LargeBinary, Boolean):
        if isinstance(kind, known):
            return known
    return Text


def id_listing(ids: Iterable[str]) -> str:
    """Return the parameter for `Backend.among`."""
    return listing(("id",), ((one,) for one in ids))


def listing(names: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Return the parameter for `Backend.listed`: the rows as a JSON array of objects."""
    return json.dumps([dict(zip(names, row, strict=True)) for row in rows])
