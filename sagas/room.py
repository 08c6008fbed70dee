"""Where transactional steps are done: the database's engines, and whose turn it is to write."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from enum import Enum
from typing import TYPE_CHECKING

from amends.persistence.guests import Guests
from amends.persistence.transactions import Transactions
from amends.sagas.outbox import Post

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncEngine

    from amends.persistence.records import NewRun


def _nowhere(connection: Connection, runs: list[NewRun]) -> None:
    """Start nothing: where a run is only simulated, nobody takes what it sends."""


class State(Enum):
    """How far an attempt is: over its time, it can't commit; while it commits, it can't be stopped."""

    WORKING = "working"
    COMMITTING = "committing"
    EXPIRED = "expired"


class Turn:
    """Holds the process's turn to write, where there is one; given back once, by whoever is first."""

    def __init__(self, lock: threading.Lock | None) -> None:
        self._lock = lock
        self._guard = threading.Lock()
        self._held = False

    def take(self) -> None:
        """Wait for the turn."""
        if self._lock is not None:
            self._lock.acquire()
            self._held = True

    def give_back(self) -> None:
        """Let the next one write."""
        with self._guard:
            held, self._held = self._held, False
        if held and self._lock is not None:
            self._lock.release()


class Room:
    """Has room for as many transactions at once as the database takes; made on the loop it is used on.

    `post` takes what their outboxes hold.
    """

    def __init__(
        self,
        guests: Guests,
        transactions: Transactions,
        now: Callable[[], int],
        post: Post = _nowhere,
    ) -> None:
        self.guests = guests
        self.transactions = transactions
        self.now = now
        self.post = post
        self.places = asyncio.Semaphore(guests.at_once)
        self._engine: AsyncEngine | None = None

    def async_engine(self) -> AsyncEngine:
        """Give the engine for async steps. Raises `UnsupportedDatabase` where its driver is missing."""
        if self._engine is None:
            self._engine = self.guests.async_engine()
        return self._engine

    @contextmanager
    def turn(self) -> Iterator[Turn]:
        """Have the turn to write, in a thread."""
        turn = Turn(self.guests.turn)
        turn.take()
        try:
            yield turn
        finally:
            turn.give_back()

    @asynccontextmanager
    async def turn_async(self) -> AsyncIterator[Turn]:
        """Have the turn to write, on the loop; who is cancelled while waiting gives it back."""
        turn = Turn(self.guests.turn)
        if self.guests.turn is not None:
            waiting = asyncio.get_running_loop().run_in_executor(None, turn.take)
            try:
                await asyncio.shield(waiting)
            except asyncio.CancelledError:
                waiting.add_done_callback(lambda _: turn.give_back())
                raise
        try:
            yield turn
        finally:
            turn.give_back()

    async def close(self) -> None:
        """Close the async engine's connections."""
        if self._engine is not None:
            await self._engine.dispose()
