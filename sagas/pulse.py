"""The signs of life of one attempt: how long it may be silent, and the details that reach the next one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from amends.sagas.errors import InputInvalid

OFTEN = 1.0
"""Seconds between two details that are recorded: those between them are replaced by later ones."""


class Pulse:
    """Takes an attempt's heartbeats, from any thread, and has its task stopped when it is silent too long.

    `record` is given the details as JSON, at most once a second; `newest` are those it wasn't given yet: also
    those of an attempt that ends before the loop has come round.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        allowed: float | None,
        stop: Callable[[asyncio.Task[Any]], None],
        record: Callable[[bytes], None],
    ) -> None:
        self._loop = loop
        self._allowed = allowed
        self._stop = stop
        self._record = record
        self._last = loop.time()
        self._next_record = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._details: deque[bytes] = deque(maxlen=1)
        self.silent = False

    @property
    def newest(self) -> bytes | None:
        """Give the details that weren't recorded yet."""
        return self._details[-1] if self._details else None

    def beat(self, details: Any) -> None:
        """Take a sign of life. Raises `InputInvalid` for details that have no JSON form."""
        try:
            data = None if details is None else to_json(details)
        except (PydanticSerializationError, ValueError) as error:
            raise InputInvalid(f"heartbeat({details!r}): the details have no JSON form: {error}") from error
        if data is not None:
            self._details.append(data)
        self._loop.call_soon_threadsafe(self._beat)

    def watch(self, task: asyncio.Task[Any]) -> None:
        """Cancel the task once it is silent for too long."""
        if self._allowed is not None:
            self._timer = self._loop.call_at(self._last + self._allowed, self._look, task)

    def close(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _beat(self) -> None:
        self._last = self._loop.time()
        if self._details and self._last >= self._next_record:
            self._next_record = self._last + OFTEN
            self._record(self._details.pop())

    def _look(self, task: asyncio.Task[Any]) -> None:
        if self._allowed is None or task.done():
            return
        if self._last + self._allowed <= self._loop.time():
            self.silent = True
            self._stop(task)
        else:
            self.watch(task)
