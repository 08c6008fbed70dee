"""Time-outs for many attempts at once: one timer for all that take equally long."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

SWEEP_FROM = 1_000


class Deadlines:
    """Has tasks stopped that take longer than their time-out.

    Attempts with the same time-out end in the order of their starts, so a queue for each length of time and
    one timer for its head do what a timer for each attempt would, for a fraction of the cost.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, stop: Callable[[asyncio.Task[Any]], None]) -> None:
        self._loop = loop
        self._stop = stop
        self._queues: dict[float, deque[tuple[float, asyncio.Task[Any]]]] = {}
        self._timers: dict[float, asyncio.TimerHandle] = {}
        self._sweep_at: dict[float, int] = {}
        self._expired: set[asyncio.Task[Any]] = set()

    def watch(self, task: asyncio.Task[Any], seconds: float) -> None:
        """Cancel the task if it isn't done after so many seconds."""
        queue = self._queues.setdefault(seconds, deque())
        if len(queue) >= self._sweep_at.get(seconds, SWEEP_FROM):
            self._sweep(seconds, queue)
        queue.append((self._loop.time() + seconds, task))
        if seconds not in self._timers:
            self._arm(seconds)

    def expired(self, task: asyncio.Task[Any]) -> bool:
        """Tell, once, whether the task was cancelled because its time was over."""
        if task in self._expired:
            self._expired.discard(task)
            return True
        return False

    def close(self) -> None:
        """Watch nothing any more."""
        for timer in self._timers.values():
            timer.cancel()
        self._queues.clear()

    def _sweep(self, seconds: float, queue: deque[tuple[float, asyncio.Task[Any]]]) -> None:
        """Forget the tasks that are done; the next time when there are twice as many as are left."""
        left = [item for item in queue if not item[1].done()]
        queue.clear()
        queue.extend(left)
        self._sweep_at[seconds] = max(SWEEP_FROM, 2 * len(left))

    def _arm(self, seconds: float) -> None:
        queue = self._queues[seconds]
        if queue:
            self._timers[seconds] = self._loop.call_at(queue[0][0], self._look, seconds)

    def _look(self, seconds: float) -> None:
        del self._timers[seconds]
        queue = self._queues.get(seconds)
        now = self._loop.time()
        while queue and (queue[0][0] <= now or queue[0][1].done()):
            _, task = queue.popleft()
            if not task.done():
                self._expired.add(task)
                self._stop(task)
        if queue:
            self._arm(seconds)
        else:
            self._queues.pop(seconds, None)
