"""The application's own transactions on the log's database: those of its steps, and those of its callers."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, Protocol

from sqlalchemy import Connection, Engine, RootTransaction, event

from amends.persistence.errors import CommittedByStep, UnsupportedDatabase

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

AUTOCOMMIT: Final = "the connection is in autocommit, so there is no transaction to join: take one that isn't"
_committing: Final[set[Connection]] = set()


class Guests(Protocol):
    """What differs between the databases about transactions that aren't the writer's."""

    engine: Engine
    """For sync steps: its transactions may write from their beginning on, and only `commit` commits them."""
    at_once: int
    """So many steps' transactions go on side by side."""
    longest_ms: int | None
    """So long one of them may take, whatever its step's time-out is; None: no bound of the database's."""
    made: list[Engine]
    """What is below the async engines that were made."""
    turn: threading.Lock | None
    """Where there is one writer at a time: held by whoever in this process is writing."""

    @abstractmethod
    def async_engine(self) -> AsyncEngine:
        """Make an engine for async steps; raises `UnsupportedDatabase` where its driver is missing."""
        ...

    @abstractmethod
    def begun(self, connection: Connection, ms: int) -> str:
        """Have the server end the transaction by itself, if nobody does for so long; give its mark."""
        ...

    @abstractmethod
    def goes_on(self, connection: Connection, mark: str) -> bool:
        """Tell whether it is still the transaction of this mark, whatever SQL was sent; ask once."""
        ...

    @abstractmethod
    def break_off(self, connection: Connection) -> None:
        """Take back what the transaction has written, from another thread: whoever uses it meets an error."""
        ...

    @abstractmethod
    def place(self, connection: Connection) -> str:
        """Tell which database a connection leads to, in words that are alike for the same one alone."""
        ...

    @abstractmethod
    def make_writable(self, connection: Connection) -> None:
        """See that nobody writes in between what is read and written next, where no rows can be locked."""
        ...


def check_begun(connection: Connection, transaction: RootTransaction | None) -> RootTransaction:
    """Give the transaction that was begun for a step. Raises `CommittedByStep` where it doesn't go on."""
    if transaction is None or not transaction.is_active or connection.get_transaction() is not transaction:
        raise CommittedByStep(
            "the step has ended its transaction itself, so nothing of it stands: leave that to amends"
        )
    return transaction


def commit(connection: Connection, transaction: RootTransaction | None) -> None:
    """Commit a step's transaction. Raises `CommittedByStep` unless it is the one that was begun for it."""
    begun = check_begun(connection, transaction)
    _committing.add(connection)
    try:
        begun.commit()
    finally:
        _committing.discard(connection)


def roll_back(connection: Connection) -> bool:
    """Roll back whatever a step has left open; tell whether that is certain."""
    with suppress(Exception):
        connection.rollback()
    try:
        # After a commit that was refused SQLAlchemy knows of no transaction; the driver has one.
        connection.connection.rollback()
    except Exception:  # noqa: BLE001 - whatever the driver raises, it isn't certain
        return False
    return True


def guarded(engine: Engine) -> Engine:
    """Make an engine refuse commits other than by `commit`: a step's outcome and rows commit together."""

    @event.listens_for(engine, "commit")
    def _refuse(connection: Connection) -> None:
        if connection not in _committing:
            raise CommittedByStep(
                "a transactional step must not commit: amends does, together with the step's outcome; use "
                "begin_nested() for a part that may be rolled back"
            )

    return engine


@contextmanager
def asyncio_driver(needs: str) -> Iterator[Any]:
    """Give SQLAlchemy's `create_async_engine`; raises `UnsupportedDatabase` where something is missing."""
    try:
        from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415 - it needs greenlet

        yield create_async_engine
    except ImportError as error:
        raise UnsupportedDatabase(
            f"async connections need {needs} and greenlet: pip install 'amends[asyncio]', or take a plain "
            "`def` with a Connection or a Session"
        ) from error
