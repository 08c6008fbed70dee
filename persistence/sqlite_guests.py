"""The application's transactions on a SQLite file: one writer at a time, whoever it is."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, Engine, event, false, update
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import OperationalError
from sqlalchemy.sql.schema import Table

from amends.persistence.errors import DatabaseUnavailable
from amends.persistence.guests import AUTOCOMMIT, asyncio_driver, guarded

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

_WAIT_S = 5
_SET: Final = "SAVEPOINT amends_step"
_RELEASE: Final = "RELEASE amends_step"


class SqliteGuests:
    """Steps wait for one another and for the writer in this process, instead of polling the file."""

    def __init__(self, path: Path, url: URL, engine: Engine, runs: Table, lease_ms: int) -> None:
        self.engine = guarded(engine)
        self.at_once = 1
        # The lease is renewed by writing, and while a step writes nobody else does.
        self.longest_ms: int | None = lease_ms // 2
        self.made: list[Engine] = []
        self.turn: threading.Lock | None = threading.Lock()
        self._path = path
        self._url = url
        self._nothing = update(runs).where(false()).values(mail=runs.c.mail)

    def async_engine(self) -> AsyncEngine:
        """Make an engine on aiosqlite, set up as the others are."""
        with asyncio_driver("aiosqlite") as create:
            engine: AsyncEngine = create(
                self._url.set(drivername="sqlite+aiosqlite"),
                hide_parameters=True,
                connect_args={"timeout": _WAIT_S},
            )

        @event.listens_for(engine.sync_engine, "connect")
        def _set_up(connection: DBAPIConnection, _record: object) -> None:
            connection.isolation_level = None
            cursor = connection.cursor()
            for pragma in ("synchronous=FULL", "mmap_size=0", "foreign_keys=ON"):
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

        @event.listens_for(engine.sync_engine, "begin")
        def _begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

        self.made.append(guarded(engine.sync_engine))
        return engine

    def begun(self, connection: Connection, ms: int) -> str:  # noqa: ARG002 - there is no server
        """Set a savepoint, which ends with the transaction."""
        connection.exec_driver_sql(_SET)
        return ""

    def goes_on(self, connection: Connection, mark: str) -> bool:  # noqa: ARG002 - there is one name
        """Release the savepoint, if it is still there."""
        try:
            connection.exec_driver_sql(_RELEASE)
        except OperationalError:
            return False
        return True

    def break_off(self, connection: Connection) -> None:
        """Roll back; the connection can't write any more, so nothing that its user does next stands."""
        driver = connection.connection.driver_connection
        if isinstance(driver, sqlite3.Connection):
            with contextlib.suppress(sqlite3.Error):
                driver.interrupt()
                driver.execute("PRAGMA query_only=ON")
                driver.execute("ROLLBACK")

    def place(self, connection: Connection) -> str:
        """Name the file, links resolved."""
        for _, name, path in connection.exec_driver_sql("PRAGMA database_list"):
            if name == "main":
                return f"SQLite file {Path(path).resolve()}" if path else "a SQLite database in memory"
        return "no SQLite file"

    def make_writable(self, connection: Connection) -> None:
        """Take the file's lock, which any statement that may write does."""
        connection.execute(self._nothing)
        if not getattr(connection.connection.driver_connection, "in_transaction", True):
            raise DatabaseUnavailable(AUTOCOMMIT)
