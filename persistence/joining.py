"""Connections of callers: do they lead to the log's own database, and what becomes of their transactions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import Pool

from amends.persistence.backend import Backend
from amends.persistence.errors import AmendsError, DatabaseUnavailable, OtherDatabase
from amends.persistence.faults import words_of
from amends.persistence.guests import AUTOCOMMIT


class Joining:
    """Look at a caller's connection before anything is written over it."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._known: WeakKeyDictionary[Pool, str] = WeakKeyDictionary()

    def check(self, connection: Connection) -> None:
        """Raise `OtherDatabase` unless the connection provably leads to the log.

        One of `Coordinator.engine`'s does by itself; another one is asked where it leads.
        Raises `DatabaseUnavailable` in autocommit, where there is no transaction to join.
        """
        if getattr(connection.connection.driver_connection, "autocommit", None) is True:
            raise DatabaseUnavailable(AUTOCOMMIT)
        if connection.engine.pool is self._backend.engine.pool:
            return
        if connection.dialect.name != self._backend.engine.dialect.name:
            raise _elsewhere(f"a {connection.dialect.name} database", self._place())
        with self._nested(
            connection, f"a {connection.dialect.name} database that can't be asked where it is"
        ):
            place = self._backend.guests.place(connection)
        if place != self._known.get(self._backend.engine.pool) and place != self._place():
            raise _elsewhere(place, self._place())
        with self._nested(connection, f"{place}, where the tables of amends can't be reached"):
            connection.execute(select(self._backend.tables.runs.c.id).limit(0))

    @contextmanager
    def savepoint(self, connection: Connection) -> Iterator[None]:
        """Write in a savepoint of the caller's transaction, which is begun if need be."""
        if not connection.in_transaction():
            # The store's statements go to the driver, so that SQLAlchemy wouldn't begin by itself.
            connection.begin()
        try:
            # First: on SQLite the caller's driver may have begun nothing yet; the savepoint would commit.
            self._backend.guests.make_writable(connection)
            with connection.begin_nested():
                yield
        except AmendsError:
            raise
        except Exception as error:
            raise DatabaseUnavailable(
                f"nothing was written: {words_of(error)}. Roll the transaction back and try again"
            ) from error

    @contextmanager
    def _nested(self, connection: Connection, where: str) -> Iterator[None]:
        try:
            with connection.begin_nested():
                yield
        except DBAPIError as error:
            raise _elsewhere(f"{where} ({words_of(error)})", self._place()) from error

    def _place(self) -> str:
        """Ask where the log is, now: a server may have been started again, or failed over."""
        with self._backend.engine.connect() as connection:
            place = self._backend.guests.place(connection)
        self._known[self._backend.engine.pool] = place
        return place


def _elsewhere(given: str, own: str) -> OtherDatabase:
    return OtherDatabase(
        f"the connection leads to {given}, and the coordinator's log is in {own}; nothing was "
        "written. Give a connection to that database, such as one of Coordinator.engine's"
    )
