"""The application's transactions on a PostgreSQL server."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

import psycopg
from sqlalchemy import Connection, Engine, Text, cast, create_engine, func, select, true
from sqlalchemy.engine import URL

from amends.persistence.guests import asyncio_driver, guarded
from amends.persistence.postgres_watch import shut_down

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

AT_ONCE = 10
_NUMBER = cast(func.pg_current_xact_id(), Text)


class PostgresGuests:
    """As many transactions as there are connections for them."""

    def __init__(self, url: URL, connect: Mapping[str, str]) -> None:
        self._url = url
        self._options = {
            "hide_parameters": True,
            "connect_args": dict(connect),
            "pool_pre_ping": True,
            "pool_size": AT_ONCE,
        }
        self.engine: Engine = guarded(create_engine(url, **self._options))
        self.at_once = AT_ONCE
        self.longest_ms: int | None = None
        self.made: list[Engine] = []
        self.turn: threading.Lock | None = None

    def async_engine(self) -> AsyncEngine:
        """Make an engine on psycopg's async side."""
        with asyncio_driver("psycopg") as create:
            engine: AsyncEngine = create(
                self._url.set(drivername="postgresql+psycopg_async"), **self._options
            )
        self.made.append(guarded(engine.sync_engine))
        return engine

    def begun(self, connection: Connection, ms: int) -> str:
        """Set the transaction's own time-outs; give its number."""
        names = ("statement_timeout", "idle_in_transaction_session_timeout")
        limits = [func.set_config(name, f"{ms}ms", true()) for name in names]
        return str(connection.execute(select(*limits, _NUMBER)).one()[-1])

    def goes_on(self, connection: Connection, mark: str) -> bool:
        """Ask for the number again."""
        return connection.execute(select(_NUMBER)).scalar_one() == mark

    def break_off(self, connection: Connection) -> None:
        """End the connection; the server rolls back when it notices."""
        driver = connection.connection.driver_connection
        if isinstance(driver, psycopg.Connection) and not driver.closed:
            shut_down(driver.fileno())

    def place(self, connection: Connection) -> str:
        """Name the database and the moment at which its server was started."""
        name, started = connection.execute(
            select(func.current_database(), func.pg_postmaster_start_time())
        ).one()
        return f"PostgreSQL database {name!r} on the server that was started at {started.isoformat()}"

    def make_writable(self, connection: Connection) -> None:
        """Do nothing: rows are locked one by one."""
