"""Transactional steps on a database that holds no log: a test's own."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NoReturn

from sqlalchemy import Connection, Engine, delete

from amends.persistence.codec import PlainCodec
from amends.persistence.errors import UnsupportedDatabase
from amends.persistence.guests import guarded
from amends.persistence.tables import tables_in
from amends.persistence.transactions import Transactions

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine


class ApartGuests:
    """An engine as it is given, for one transaction after the other."""

    def __init__(self, engine: Engine) -> None:
        # A copy with the same pool: what its owner does with the engine is his own affair.
        self.engine: Engine = guarded(engine.execution_options())
        self.at_once = 1
        self.longest_ms: int | None = None
        self.made: list[Engine] = []
        self.turn: threading.Lock | None = None

    def async_engine(self) -> AsyncEngine:
        """Raise `UnsupportedDatabase`: the engine is a sync one."""
        raise UnsupportedDatabase(
            "the world's engine is a sync one, and the transaction is async: it is tested on a coordinator"
        )

    def begun(self, connection: Connection, ms: int) -> str:  # noqa: ARG002 - the log's need it
        """Do nothing: time is virtual."""
        return ""

    def goes_on(self, connection: Connection, mark: str) -> bool:  # noqa: ARG002 - the log's need it
        """Believe it: the engine may be of any database."""
        return True

    def break_off(self, connection: Connection) -> None:
        """Do nothing: nothing is over its time while time is virtual."""

    def place(self, connection: Connection) -> NoReturn:  # noqa: ARG002 - the log's need it
        """Raise `UnsupportedDatabase`: nobody joins transactions here."""
        raise UnsupportedDatabase("there is no log in this database")

    def make_writable(self, connection: Connection) -> None:
        """Do nothing: nobody joins transactions here."""


def apart(engine: object) -> tuple[ApartGuests, Transactions] | None:
    """Make what transactional steps need on an engine, with an empty table of theirs; None if it is none."""
    if not isinstance(engine, Engine):
        return None
    table = tables_in(prefix="amends_").transactions
    with engine.begin() as connection:
        table.create(connection, checkfirst=True)
        connection.execute(delete(table))
    return ApartGuests(engine), Transactions(table, PlainCodec())
