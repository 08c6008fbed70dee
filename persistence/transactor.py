"""Transactions over the writer's one connection, each tried until its fate is known."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from amends.persistence.backend import Backend, Watch
from amends.persistence.faults import Fault, fault_of, is_harmless, words_of
from amends.persistence.patience import Patience

Opened = TypeVar("Opened")
Result = TypeVar("Result")


class Refused(Exception):
    """The database refuses a row of the transaction, or can't have its lock; nothing of it was written."""

    def __init__(self, fault: Fault, words: str) -> None:
        super().__init__(words)
        self.fault = fault
        self.words = words


class Transactor:
    """Hold the connection, open it again when it is lost, and know what became of each transaction."""

    def __init__(self, backend: Backend, watch: Watch, patience: Patience) -> None:
        self._backend = backend
        self._watch = watch
        self._patience = patience
        self._connection: Connection | None = None

    def run(
        self,
        opening: Callable[[Connection], Opened],
        work: Callable[[Connection, Opened], Result],
        was_committed: Callable[[Connection, Opened], bool],
    ) -> Result:
        """Do `opening` and `work` in one transaction and return the latter's result once it is committed.

        An error of `opening` concerns no row: it is tried again. When the reply to COMMIT is lost,
        `was_committed` is asked over a new connection.

        Raises:
            Refused: a row is refused or locked.
            Abandoned: the database couldn't be written until the writer had to end.
        """
        while True:
            with self._backend.guests.turn or nullcontext():
                tried = self._try(opening, work)
                committed = not isinstance(tried, Exception) and self._commit()
                if isinstance(tried, Exception):
                    self._roll_back(tried)
            if isinstance(tried, Exception):
                self._patience.wait(words_of(tried))
                continue
            opened, result = tried
            if committed or self._has(was_committed, opened):
                self._patience.rest()
                return result

    def close(self) -> None:
        """Close the connection."""
        self._drop()

    def _try(
        self, opening: Callable[[Connection], Opened], work: Callable[[Connection, Opened], Result]
    ) -> tuple[Opened, Result] | Exception:
        """Do everything but the commit; return what came of it, or the error that concerns no row."""
        try:
            connection = self._connected()
            self._watch.guard(connection)
            connection.begin()
            opened = opening(connection)
        except Exception as error:  # noqa: BLE001 - whatever it is, the writer lives on and tries again
            return error
        try:
            return opened, work(connection, opened)
        except Exception as error:
            fault = fault_of(error)
            if fault is Fault.TRANSIENT:
                return error
            self._roll_back(error)
            raise Refused(fault, words_of(error)) from error

    def _commit(self) -> bool:
        """Commit; False if the answer leaves it open whether that was done."""
        transaction = None if self._connection is None else self._connection.get_transaction()
        if transaction is None:
            return False
        try:
            transaction.commit()
        except Exception as error:  # noqa: BLE001 - from here on every error means: unknown
            self._drop()
            self._patience.wait(f"the reply to COMMIT is lost ({words_of(error)})")
            return False
        self._watch.guard(None)
        return True

    def _has(self, was_committed: Callable[[Connection, Opened], bool], opened: Opened) -> bool:
        """Ask until there is an answer."""
        while True:
            try:
                connection = self._connected()
                self._watch.guard(connection)
                with connection.begin() as question:
                    answer = was_committed(connection, opened)
                    question.rollback()
                self._watch.guard(None)
                return answer
            except Exception as error:  # noqa: BLE001 - nothing is known until the question is answered
                self._roll_back(error)
                self._patience.wait(words_of(error))

    def _connected(self) -> Connection:
        if self._connection is None:
            connection = self._backend.writes.connect()
            try:
                self._watch.use(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _roll_back(self, error: Exception) -> None:
        self._watch.guard(None)
        if self._connection is None:
            return
        if not is_harmless(error):
            self._drop()
            return
        transaction = self._connection.get_transaction()
        try:
            if transaction is not None:
                transaction.rollback()
        except Exception:  # noqa: BLE001 - a connection that can't roll back is of no use
            self._drop()

    def _drop(self) -> None:
        """Let the connection go, as it is."""
        self._watch.guard(None)
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            connection.invalidate()
            connection.close()
        except (SQLAlchemyError, OSError):
            return
