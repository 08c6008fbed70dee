"""The outbox of a transaction: what is to happen if it commits, and only then."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVarTuple

from amends.persistence.records import NewRun, Write, Written
from amends.sagas.errors import AmendsError, StartConflict
from amends.sagas.new_runs import checked_id, encoded, new_run
from amends.sagas.saga import as_saga

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from amends.persistence.database import Database

Ts = TypeVarTuple("Ts")
Post = Callable[["Connection", list[NewRun]], None]
"""Writes runs with the transaction that a connection has open."""


class Outbox:
    """Takes what a `@transaction` wants started with its commit; `current_step().outbox` is the attempt's."""

    def __init__(self, key: str, now: Callable[[], int], limit: int, post: Post) -> None:
        self._post = post
        self._key = key
        self._now = now
        self._limit = limit
        self._put: dict[str, NewRun] = {}

    def put(self, message: Callable[[*Ts], Awaitable[Any]], *args: *Ts, id: str | None = None) -> str:
        """Have a message sent, or any saga started, if the transaction commits; gives the run's id.

        `id` is unique in the database, as for `Coordinator.start`; left out, it is made from the step's key.
        What is put stays so when a savepoint inside the transaction is rolled back.
        Raises `InputInvalid`, `PayloadTooLarge`, and `StartConflict` where the id stands for something else;
        where a run in the database has it, the step fails with that at its end.
        """
        saga = as_saga(message)
        data = encoded(saga, args, self._limit)
        run_id = checked_id(f"{self._key}/{len(self._put)}" if id is None else id)
        new = new_run(saga, run_id, data, self._now())
        before = self._put.setdefault(run_id, new)
        if (before.saga, before.input) != (new.saga, new.input):
            raise StartConflict(f"the id {run_id!r} was put into the outbox with another saga or other input")
        return run_id

    def clear(self) -> None:
        """Forget what was put: the transaction begins anew."""
        self._put.clear()

    def leave(self, connection: Connection) -> None:
        """Write what was put, with the transaction. Raises `StartConflict`."""
        if self._put:
            self._post(connection, list(self._put.values()))


def post(
    database: Database, born: Callable[[NewRun], NewRun] | None, connection: Connection, runs: list[NewRun]
) -> None:
    """Write runs with a transaction. Raises `StartConflict` where an id belongs to another run (S17).

    `born` decides which trace a run belongs to, where runs are traced.
    """
    runs = runs if born is None else [born(new) for new in runs]
    receipts = database.join(connection, [Write(new.id, start=new) for new in runs])
    for new, receipt in zip(runs, receipts, strict=True):
        if receipt.written is Written.DONE:
            continue
        row = database.run_on(connection, new.id)
        if row is None:
            raise AmendsError(f"run {new.id!r} could not be started: {receipt.reason or receipt.written}")
        if (row.saga, row.input) != (new.saga, new.input):
            raise StartConflict(
                f"the outbox would start run {new.id!r}, and that id belongs to a run of saga {row.saga!r}, "
                "or with other input; nothing of the transaction was written"
            )
