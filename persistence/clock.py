"""Database time: milliseconds, as little of them asked of the database as possible."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Protocol

_QUICK_S: Final = 0.25


class Clock(Protocol):
    """Tell database time."""

    def now(self) -> int:
        """Return milliseconds of database time."""
        ...

    def observe(self, server: int, before: float, after: float) -> None:
        """Take in that the server's clock stood at `server` between two readings of `time.monotonic`."""
        ...


class GivenClock:
    """The clock of this system, or another one that a caller gives."""

    def __init__(self, now: Callable[[], int] | None = None) -> None:
        self.now = now or _system

    def observe(self, server: int, before: float, after: float) -> None:
        """Ignore the server's clock."""


class ServerClock:
    """The server's clock, told from the monotonic one and its distance to it; it never goes back."""

    def __init__(self) -> None:
        self._distance = 0.0
        self._last = 0

    def now(self) -> int:
        """Return milliseconds of the server's clock."""
        self._last = max(self._last, int(time.monotonic() * 1000 + self._distance))
        return self._last

    def observe(self, server: int, before: float, after: float) -> None:
        """Measure the distance anew, at the middle of the exchange; a slow one tells too little."""
        if after - before < _QUICK_S or not self._distance:
            self._distance = server - (before + after) * 500


def _system() -> int:
    return time.time_ns() // 1_000_000
