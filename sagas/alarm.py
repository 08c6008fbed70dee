"""One wake-up for the earliest of many due times."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

LONGEST = 30.0
"""Seconds after which the clock is looked at again, whatever it said: clocks jump."""


class Alarm:
    """Calls `ring` when the earliest due time has come; times are milliseconds of database time.

    It never rings early: on waking, the clock is asked again.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, now: Callable[[], int], ring: Callable[[str], None]
    ) -> None:
        self._loop = loop
        self._now = now
        self._ring = ring
        self._heap: list[tuple[int, str]] = []
        self._due: dict[str, int] = {}
        self._handle: asyncio.TimerHandle | None = None
        self._set_for = 0

    def set(self, key: str, due: int | None) -> None:
        """Set the due time of `key`, or take it away with None."""
        if due is None:
            self._due.pop(key, None)
            return
        if self._due.get(key) == due:
            return
        self._due[key] = due
        heapq.heappush(self._heap, (due, key))
        self._arm()

    def close(self) -> None:
        """Never ring again."""
        self._due.clear()
        self._heap.clear()
        if self._handle is not None:
            self._handle.cancel()

    def look(self) -> None:
        """Ring for everything that is due now."""
        now = self._now()
        while self._heap and self._heap[0][0] <= now:
            due, key = heapq.heappop(self._heap)
            if self._due.get(key) == due:
                del self._due[key]
                self._ring(key)
        self._arm()

    def _arm(self) -> None:
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        if not self._heap:
            return
        due = self._heap[0][0]
        if self._handle is not None and not self._handle.cancelled():
            if self._set_for <= due:
                # It looks again then, and is set anew: many are put off before they ring.
                return
            self._handle.cancel()
        self._set_for = due
        seconds = min(LONGEST, max(0.0, (due - self._now()) / 1000))
        self._handle = self._loop.call_later(seconds, self._woken)

    def _woken(self) -> None:
        self._handle = None
        self.look()
