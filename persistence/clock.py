"""Database time: milliseconds, as little of them asked of the database as possible."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final, Protocol

_QUICK_S: Final = 0.25
_JUMP_MS: Final = 1_000
"""By so much a clock differs from what went by since the last look when it was set, and not merely drifts."""


class Clock(Protocol):
    """Tell database time."""

    def now(self) -> int:
        """Return milliseconds of database time."""
        ...

    def observe(self, server: int, before: float, after: float) -> None:
        """Take in that the server's clock stood at `server` between two readings of `time.monotonic`."""
        ...

    def steady_for(self) -> float:
        """Tell for how many seconds nobody has been seen to set the clock."""
        ...


class GivenClock:
    """A clock that a caller gives, and answers for."""

    def __init__(self, now: Callable[[], int]) -> None:
        self.now = now

    def observe(self, server: int, before: float, after: float) -> None:
        """Ignore the server's clock."""

    def steady_for(self) -> float:
        """Believe it."""
        return math.inf


class SystemClock:
    """The clock of this system, which somebody may set while it is read."""

    def __init__(self) -> None:
        self._distance: float | None = None
        self._set_at = -math.inf

    def now(self) -> int:
        """Return milliseconds of the system's clock."""
        passed, now = time.monotonic(), time.time_ns() // 1_000_000
        distance = now - passed * 1000
        if self._distance is not None and abs(distance - self._distance) > _JUMP_MS:
            self._set_at = passed
        self._distance = distance
        return now

    def observe(self, server: int, before: float, after: float) -> None:
        """Ignore the server's clock."""

    def steady_for(self) -> float:
        """Tell for how many seconds nobody has been seen to set it."""
        self.now()
        return time.monotonic() - self._set_at


class ServerClock:
    """The server's clock, told from the monotonic one and its distance to it; it never goes back."""

    def __init__(self) -> None:
        self._distance = 0.0
        self._last = 0
        self._set_at = -math.inf

    def now(self) -> int:
        """Return milliseconds of the server's clock."""
        self._last = max(self._last, int(time.monotonic() * 1000 + self._distance))
        return self._last

    def observe(self, server: int, before: float, after: float) -> None:
        """Measure the distance anew, at the middle of the exchange; a slow one tells too little."""
        if after - before < _QUICK_S or not self._distance:
            distance = server - (before + after) * 500
            if self._distance and abs(distance - self._distance) > _JUMP_MS:
                self._set_at = after
            self._distance = distance

    def steady_for(self) -> float:
        """Tell for how many seconds nobody has been seen to set it."""
        return time.monotonic() - self._set_at
