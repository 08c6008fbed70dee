"""What is SQLite's own: one file, one writer at a time, no server to ask or to be told by.

Every connection syncs fully (`synchronous=NORMAL` loses acknowledged commits in a power failure) and none
maps the file into memory. Transactions that write begin IMMEDIATE, so that they wait for their turn at the
start and never fail in the middle because another one was quicker.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Engine,
    Executable,
    Float,
    Integer,
    Text,
    bindparam,
    cast,
    create_engine,
    event,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.sqlite import insert as insert_or
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DatabaseError as DriverError
from sqlalchemy.pool import NullPool, Pool
from sqlalchemy.sql import ColumnElement, Delete, Insert, Subquery, Update
from sqlalchemy.sql.schema import Table

from amends.persistence import worker_lock
from amends.persistence.backend import Cell, Columns, ColumnTypes, Many, Watch, column_types, id_listing
from amends.persistence.errors import DatabaseReadOnly, DatabaseUnavailable, UnsupportedDatabase
from amends.persistence.guests import Guests
from amends.persistence.once import once
from amends.persistence.prepared import Prepared, on_driver
from amends.persistence.records import WorkerRow
from amends.persistence.rows import RUN_COLUMNS
from amends.persistence.sqlite_guests import SqliteGuests
from amends.persistence.sqlite_watch import FileWatch
from amends.persistence.tables import Tables, tables_in
from amends.persistence.worker_lock import FileLock

_log: Final = logging.getLogger("amends.persistence")
_OLDEST: Final = (3, 35, 0)
_WAL_RESET: Final = ((3, 7, 0), (3, 51, 2))
_WAIT_MS: Final = 5_000
_WRITER_WAIT_MS: Final = 2_000
_MIGRATION_WAIT_MS: Final = 60_000
_ZERO: Final = literal_column("0", Integer)
_ONE: Final = literal_column("1", Integer)
_EPOCH_DAY: Final = literal_column("2440587.5", Float)
_DAY_US: Final = literal_column("86400000000", Float)
_warned: Final[set[str]] = set()


class SqliteBackend:
    """A log in a SQLite file."""

    def __init__(self, url: URL, schema: str, lease_ms: int) -> None:
        if sqlite3.sqlite_version_info < _OLDEST:
            raise UnsupportedDatabase(
                f"SQLite {sqlite3.sqlite_version} is too old: amends needs 3.35. Use a newer build of Python."
            )
        self.path = Path(url.database or "").absolute()
        self.tables: Tables = tables_in(prefix=f"{schema}_")
        here = url if url.query.get("uri") else url.set(database=str(self.path))
        self.engine: Engine = _engine(here, wait_ms=_WAIT_MS)
        self.reads: Engine = _engine(here, wait_ms=_WAIT_MS, query_only=True)
        self.writes: Engine = _engine(here, wait_ms=_WRITER_WAIT_MS, immediate=True, poolclass=NullPool)
        self.migrations: Engine = _engine(
            here, wait_ms=_MIGRATION_WAIT_MS, immediate=True, poolclass=NullPool
        )
        steps = _engine(here, wait_ms=_WRITER_WAIT_MS, immediate=True)
        self.guests: Guests = SqliteGuests(self.path, here, steps, self.tables.runs, lease_ms)
        self.engines: tuple[Engine, ...] = (self.engine, self.reads, self.writes, self.migrations, steps)
        once(self, self.tables, self._prepare_starts)

    def prepare(self) -> None:
        """Switch the file to WAL, durably."""
        if not os.path.isdir(self.path.parent):  # noqa: PTH112 - Path raises where it may not look
            raise DatabaseUnavailable(
                f"There is no directory {self.path.parent} for the database. Make it first."
            )
        try:
            with self.migrations.connect() as connection:
                driver = _driver(connection)
                if driver.execute("PRAGMA journal_mode").fetchone() != ("wal",):
                    _switch_to_wal(driver)
                    _sync_directory(self.path.parent)
        except (DriverError, sqlite3.Error) as error:
            raise self._opening(error) from error
        if not (os.access(self.path, os.W_OK) and os.access(self.path.parent, os.W_OK)):
            raise self._read_only()

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Read in one transaction, which sees the file as it was at its first read."""
        with self.reads.connect() as connection:
            driver = _driver(connection)
            driver.execute("BEGIN")
            try:
                yield connection
            finally:
                driver.rollback()

    def lock_migration(self, connection: Connection) -> None:
        """Do nothing: a transaction that begins IMMEDIATE is alone."""

    def server_time(self) -> ColumnElement[int] | None:
        """Return None: the system's clock is the database's."""
        return None

    def change_number(self) -> ColumnElement[int]:
        """Count on, from the time at least: deleting the last runs doesn't make the numbers go back."""
        latest = self.tables.runs.alias("latest")
        following = select(func.coalesce(func.max(latest.c.changed), _ZERO) + _ONE).scalar_subquery()
        days = func.julianday(literal_column("'now'")) - _EPOCH_DAY
        return func.max(following, cast(days * _DAY_US, Integer), type_=Integer)

    def moment(self) -> ColumnElement[str]:
        """Return the last number: nobody else writes until a transaction ends, so they come in order."""
        latest = self.tables.runs.alias("latest")
        return cast(select(func.coalesce(func.max(latest.c.changed), _ZERO)).scalar_subquery(), Text)

    def changed_since(self, name: str) -> ColumnElement[bool]:
        """Compare the numbers."""
        return self.tables.runs.c.changed > cast(bindparam(name, type_=Text), Integer)

    def listed(self, name: str, columns: ColumnTypes) -> Subquery:
        """Return rows from a JSON parameter by `json_each`."""
        each = func.json_each(bindparam(name)).table_valued("value")
        cells = [
            func.json_extract(each.c.value, f"$.{column}", type_=kind()).label(column)
            for column, kind in columns.items()
        ]
        return select(*cells).select_from(each).subquery()

    def among(self, column: ColumnElement[str], name: str) -> ColumnElement[bool]:
        """Look each id up in the column's index."""
        return column.in_(select(self.listed(name, {"id": Text}).c.id))

    def many(self, columns: ColumnTypes, build: Callable[[Columns], Executable]) -> Many:
        """Prepare for `executemany`."""
        cells: Columns = {name: bindparam(f"cell_{name}", type_=kind()) for name, kind in columns.items()}
        return _ExecuteMany(self.writes, tuple(columns), build(cells))

    def insert(self, table: Table, columns: Sequence[str]) -> Many:
        """Prepare for `executemany`."""
        return self.many(column_types(table, columns), lambda cells: table.insert().values(dict(cells)))

    def insert_missing(self, table: Table, values: Mapping[str, Any]) -> Executable:
        """Insert or do nothing."""
        return insert_or(table).values(dict(values)).on_conflict_do_nothing()

    def insert_runs(self, connection: Connection, rows: Sequence[tuple[Cell, ...]]) -> set[str]:
        """Look which ids are taken, then insert the rest: nobody comes between in such a transaction."""
        wanted = {str(row[0]) for row in rows}
        taken = self._taken(connection, {"ids": id_listing(wanted)})
        free = wanted.difference(row[0] for row in taken)
        self._insert_runs(connection, [row for row in rows if row[0] in free])
        return free

    def announce(self, connection: Connection, sender: str, *, shown: bool = False) -> None:
        """Do nothing: others see a commit by itself."""

    def watch(
        self,
        sender: str,  # noqa: ARG002 - the other store needs it
        on_news: Callable[[], None],
        on_shown: Callable[[], None],  # noqa: ARG002 - nobody knows whom a commit concerns
    ) -> Watch:
        """Watch the file's data version."""
        return FileWatch(on_news, _driver)

    def lock_worker(self, worker: str) -> FileLock:
        """Lock the file beside the database that is named after the worker.

        A worker is also who is warned of versions with the race: whoever only looks or asks needn't know.
        """
        _warn_of_version()
        return FileLock(worker_lock.path_for(self.path, worker))

    def vanished(self, worker: WorkerRow) -> bool:
        """Tell whether nobody holds the worker's file."""
        return worker_lock.is_free(worker_lock.path_for(self.path, worker.id))

    def bury(self, worker: str) -> None:
        """Remove the worker's file."""
        worker_lock.remove(worker_lock.path_for(self.path, worker))

    def _prepare_starts(self) -> None:
        runs = self.tables.runs
        self._insert_runs = self.many(
            column_types(runs, RUN_COLUMNS),
            lambda cells: runs.insert().values(dict(cells) | {"changed": self.change_number()}),
        )
        self._taken = Prepared(self.writes, select(runs.c.id).where(self.among(runs.c.id, "ids")))

    def _opening(self, error: Exception) -> Exception:
        cause = error.orig if isinstance(error, DriverError) else error
        words = str(cause)
        if "readonly" in words or "read-only" in words:
            return self._read_only()
        if "not a database" in words:
            return UnsupportedDatabase(f"{self.path} is no SQLite database ({words}). Give another file.")
        return DatabaseUnavailable(
            f"The database {self.path} can't be opened: {words}. Check that it can be written."
        )

    def _read_only(self) -> DatabaseReadOnly:
        return DatabaseReadOnly(
            f"The database {self.path} can't be written: SQLite needs write permission for the file and its"
            " directory."
        )


class _ExecuteMany:
    """A statement compiled once, for tuples.

    Core's own `executemany` takes dicts and spends 7 µs of CPU a row on turning them into these very tuples,
    more than SQLite takes to insert them.
    """

    def __init__(self, engine: Engine, columns: tuple[str, ...], statement: Executable) -> None:
        if not isinstance(statement, Insert | Update | Delete):
            raise TypeError("only an insert or update is made for many rows")
        compiled = statement.compile(engine)
        self._statement = statement
        self._columns = columns
        self._dialect = type(engine.dialect)
        places = [columns.index(name.removeprefix("cell_")) for name in compiled.positiontup or ()]
        self._sql = str(compiled)
        self._pick = None if places == list(range(len(columns))) else itemgetter(*places)

    def __call__(self, connection: Connection, rows: Sequence[tuple[Cell, ...]]) -> None:
        _refuse_nul(rows)
        if not rows:
            return
        if type(connection.dialect) is not self._dialect:
            names = [f"cell_{name}" for name in self._columns]
            connection.execute(self._statement, [dict(zip(names, row, strict=True)) for row in rows])
            return
        if self._pick is not None:
            rows = [self._pick(row) for row in rows]
        on_driver(connection, self._sql, rows, many=True)


def _refuse_nul(rows: Sequence[tuple[Cell, ...]]) -> None:
    """Refuse what PostgreSQL refuses: SQLite would store it and show it cut off."""
    for row in rows:
        for cell in row:
            if type(cell) is str and "\0" in cell:
                raise ValueError("text holds a NUL character, which databases don't store")


def _engine(
    url: URL,
    *,
    wait_ms: int,
    immediate: bool = False,
    query_only: bool = False,
    poolclass: type[Pool] | None = None,
) -> Engine:
    engine = create_engine(
        url, poolclass=poolclass, hide_parameters=True, connect_args={"timeout": wait_ms / 1000}
    )

    @event.listens_for(engine, "connect")
    def _set_up(connection: DBAPIConnection, _record: object) -> None:
        if not isinstance(connection, sqlite3.Connection):
            raise TypeError("the engine's driver isn't sqlite3")
        # None: the driver begins nothing by itself.
        connection.isolation_level = None
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA mmap_size=0")
        connection.execute("PRAGMA foreign_keys=ON")
        if immediate:
            # Room for the pages that a batch touches, and fewer of them copied into the file per row.
            connection.execute("PRAGMA cache_size=-16000")
            connection.execute("PRAGMA wal_autocheckpoint=4000")
        if query_only:
            connection.execute("PRAGMA query_only=ON")

    if not query_only:
        how = "BEGIN IMMEDIATE" if immediate else "BEGIN"

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            on_driver(connection, how, ())

    return engine


def _driver(connection: Connection) -> sqlite3.Connection:
    driver = connection.connection.driver_connection
    if not isinstance(driver, sqlite3.Connection):
        raise TypeError("the connection's driver isn't sqlite3")
    return driver


def _switch_to_wal(driver: sqlite3.Connection) -> None:
    """Switch; while others that open a new file hold it, SQLite says so at once instead of waiting."""
    until = time.monotonic() + _MIGRATION_WAIT_MS / 1000
    while True:
        try:
            mode = driver.execute("PRAGMA journal_mode=WAL").fetchone()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.01)
            continue
        if mode != ("wal",):
            raise UnsupportedDatabase(
                f"SQLite can't keep a write-ahead log here (journal_mode is {mode[0]}): use a local disk."
            )
        return


def _sync_directory(directory: Path) -> None:
    """Make the new files' names durable."""
    try:
        handle = os.open(directory, os.O_RDONLY)
    except OSError:  # pragma: no cover - Windows has no handles on directories
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _warn_of_version() -> None:
    version = sqlite3.sqlite_version
    if _WAL_RESET[0] <= sqlite3.sqlite_version_info <= _WAL_RESET[1] and version not in _warned:
        _warned.add(version)
        _log.warning(
            "SQLite %s has a rare race that can damage its files; 3.51.3 and newer don't have it", version
        )
