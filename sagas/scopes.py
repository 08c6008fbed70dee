"""Savepoints: a part of a body whose steps are undone together when an error leaves it (S20)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Self

from amends.sagas import context

PATH: ContextVar[tuple[int, ...]] = ContextVar("amends.savepoints", default=())
"""The savepoints around the code that runs, by number, the outermost first."""


class Scope:
    """A part of what a body does that can be undone later, while the body goes on; it may be entered once.

    For code of ours that decides afterwards. As in a savepoint, nothing called in it may outlive the block.
    """

    def __init__(self) -> None:
        self._body = context.running_body()
        self.number = 0

    @classmethod
    def again(cls, number: int) -> Self:
        """Give a scope that was left before the body began anew: it can be undone as ever."""
        found = cls()
        found.number = number
        return found

    async def __aenter__(self) -> Self:
        if self._body is not None:
            self.number = self._body.savepoints.open()
            self._token = PATH.set((*PATH.get(), self.number))
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self._body is not None:
            PATH.reset(self._token)
            if error is None:
                self._body.savepoints.close(self.number)

    async def undo(self) -> None:
        """Undo exactly the steps called in it; returns when that is done."""
        if self._body is not None:
            await _through(self._body.savepoints.roll_back(self.number))


@asynccontextmanager
async def savepoint() -> AsyncIterator[None]:
    """Undo exactly the steps called in this block when an error leaves it, then let the error go on.

    Steps that are still under way then are let end and undone too. Cancelling doesn't interrupt the undoing.
    Blocks may be nested; what is called again afterwards gets new keys. Outside a run it does nothing.
    Raises `DefinitionError` where the block is left without an error while steps called in it are under way,
    or a task that outlives it calls another one: use `asyncio.TaskGroup`.

    >>> async with savepoint():
    ...     seat = await book_seat(flight)
    ...     await pay(seat)
    """
    body = context.running_body()
    if body is None:
        yield
        return
    number = body.savepoints.open()
    token = PATH.set((*PATH.get(), number))
    try:
        yield
    except BaseException:
        PATH.reset(token)
        await _through(body.savepoints.roll_back(number))
        raise
    else:
        PATH.reset(token)
        body.savepoints.close(number)


async def _through(undoing: asyncio.Future[None]) -> None:
    """Wait until the undoing is done, however often this task is cancelled; then be cancelled, if it was."""
    cancelled = False
    while not undoing.done():
        try:
            await asyncio.shield(undoing)
        except asyncio.CancelledError:
            if undoing.cancelled():
                raise
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
