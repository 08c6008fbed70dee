"""Writes that join a caller's transaction: they are there if and only if that commits."""

from __future__ import annotations

import asyncio
import contextvars
import weakref
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from amends.persistence.database import Database
from amends.persistence.records import Receipt, Write
from amends.sagas.errors import InputInvalid, WaitsForItself

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
    from sqlalchemy.orm import Session

T = TypeVar("T")

Joinable: TypeAlias = "Connection | Session | AsyncConnection | AsyncSession"
"""What a caller may give as `connection=`: SQLAlchemy's connections and sessions, sync and async."""

CALLER: contextvars.ContextVar[int | None] = contextvars.ContextVar("amends.caller", default=None)
"""The thread that waits in the blocking door; None for code on the loop."""


class Joining:
    """Joins callers' transactions, and knows which of them are open."""

    def __init__(self) -> None:
        self._open: list[tuple[weakref.ref[Any], object]] = []
        self._turns: weakref.WeakKeyDictionary[Any, asyncio.Lock] = weakref.WeakKeyDictionary()

    async def write(self, database: Database, connection: Joinable, writes: Sequence[Write]) -> list[Receipt]:
        """Make `writes`, which need no lease, part of a caller's transaction; gives what becomes of each.

        A transaction is begun where there is none. Raises `InputInvalid` for what is no connection,
        `OtherDatabase` for one that leads elsewhere, `DatabaseUnavailable` where others hold the database or
        the run; the transaction stays as it was.
        """

        def work(joined: Connection) -> tuple[list[Receipt], Any]:
            return database.join(joined, writes), joined.get_transaction()

        receipts, transaction = await self.run(connection, work)
        self._open = [(held, who) for held, who in self._open if _is_open(held())]
        if transaction is not None:
            self._open.append((weakref.ref(transaction), _who()))
        return receipts

    async def run(self, connection: Joinable, work: Callable[[Connection], T]) -> T:
        """Do something on a caller's connection, in the way that its kind asks for. Raises `InputInvalid`.

        Calls at once with one connection follow one another: it belongs to one transaction.
        """
        given: Any = connection
        kinds = {base.__name__ for base in type(given).__mro__ if base.__module__.startswith("sqlalchemy.")}
        if not kinds.isdisjoint(("AsyncConnection", "AsyncSession")):
            if CALLER.get() is not None:
                raise InputInvalid(
                    f"connection={given!r} belongs to an event loop: the blocking door takes a Connection or "
                    "a Session"
                )
            _check_open(given)
            async with self._turns.setdefault(given, asyncio.Lock()):
                on_loop = await given.connection() if "AsyncSession" in kinds else given
                return await _to_its_end(on_loop.run_sync(work))
        if not kinds.isdisjoint(("Connection", "Session")):
            _check_open(given)
            async with self._turns.setdefault(given, asyncio.Lock()):
                # In a thread: it may wait for a lock that another task of this loop holds.
                return await _to_its_end(asyncio.to_thread(_on_sync, given, work))
        raise InputInvalid(
            f"connection={given!r} must be one of SQLAlchemy's: a Connection, Session, AsyncConnection or "
            "AsyncSession"
        )

    def check(self, database: Database) -> None:
        """Raise `WaitsForItself` where a write of our own would wait for a transaction that its caller holds.

        So it is on SQLite, where one transaction writes at a time: whoever awaits the coordinator while it is
        open never gets to commit it.
        """
        if database.guests.turn is None or not self._open:
            return
        me = _who()
        if any(who is me or who == me for held, who in self._open if _is_open(held())):
            raise WaitsForItself(
                "the transaction that was given as connection= before is still open, and on SQLite nobody "
                "else can write until it ends: give connection= to this call too, or commit first"
            )


def _who() -> object:
    """Tell who is calling: a thread at the blocking door, or a task of the loop."""
    return CALLER.get() or asyncio.current_task()


def _is_open(transaction: Any) -> bool:
    return transaction is not None and bool(transaction.is_active)


def _check_open(given: Any) -> None:
    """Raise `InputInvalid` for a connection that was closed; a session begins anew by itself."""
    if getattr(given, "closed", False) is True:
        raise InputInvalid(f"connection={given!r} was closed before; call this while its transaction is open")


def _on_sync(given: Any, work: Callable[[Connection], T]) -> T:
    """Work on a connection, or on a session's."""
    return work(given.connection() if callable(getattr(given, "connection", None)) else given)


async def _to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Await it to its end even when the caller is cancelled: nobody else may use the connection before."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,))
        raise
