"""Noticing who blocks the event loop: a thread asks it again and again whether it still runs."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final

from amends.sagas.news import Attempt

EVERY: Final = 1.0
"""Seconds between two questions."""
LONGEST: Final = 1.0
"""Seconds without an answer after which the loop counts as blocked."""
QUIET: Final = 60.0
"""Seconds in which the same step, or the same place in the code, is told of once."""
_OURS: Final = (str(Path(__file__).parents[1]) + os.sep, str(Path(asyncio.__file__).parent) + os.sep)

_CALLS: Final = ("_run", "_execute", "_turn")
"""The functions of asyncio, executor and driver by which code of an application is called."""

log = logging.getLogger("amends")


class BlockedLoop:
    """Warns of what blocks the loop on which it is made, naming the step, while it is blocked.

    `executing` gives the attempt that a task executes, if it executes one.
    """

    def __init__(self, executing: Callable[[asyncio.Task[Any]], Attempt | None]) -> None:
        self._executing = executing
        self._loop = asyncio.get_running_loop()
        self._on = threading.get_ident()
        self._closed = threading.Event()
        self._told: dict[str, float] = {}
        self._thread = threading.Thread(target=self._watch, name="amends-blocked", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Watch no more."""
        self._closed.set()

    def _watch(self) -> None:
        while not self._closed.wait(EVERY):
            answered = threading.Event()
            asked = time.monotonic()
            try:
                self._loop.call_soon_threadsafe(answered.set)
            except RuntimeError:  # the loop is closed
                return
            if not answered.wait(LONGEST):
                self._blocked(answered, asked)

    def _blocked(self, answered: threading.Event, asked: float) -> None:
        who, what = self._culprit()
        again = who in self._told and asked < self._told[who] + QUIET
        if not again:
            self._told[who] = asked
            log.warning(
                "the event loop has been blocked for %.1f s by %s: nothing else goes on meanwhile. Make what "
                "blocks a plain function, which gets a thread, or await it",
                time.monotonic() - asked,
                who,
                extra=what,
            )
        while not answered.wait(LONGEST):
            if self._closed.is_set():
                return
        if not again:
            log.warning(
                "the event loop was blocked for %.1f s by %s", time.monotonic() - asked, who, extra=what
            )

    def _culprit(self) -> tuple[str, dict[str, Any]]:
        """Say who it is, in words and as fields for the log."""
        task = asyncio.current_task(self._loop)
        attempt = None if task is None else self._executing(task)
        place = _place(sys._current_frames().get(self._on))  # noqa: SLF001 - there is no other way
        if attempt is None:
            return place, {}
        kind = "the compensation" if attempt.undoing else "the probe" if attempt.probing else "step"
        fields = {"run_id": attempt.run_id, "step": attempt.name, "attempt": attempt.attempt}
        return f"{kind} {attempt.name!r} at {place}", fields


def _place(frame: FrameType | None) -> str:
    """Give the line that is being executed: the application's own, as near to its call as may be."""
    found = frame
    while frame is not None:
        code = frame.f_code
        ours = code.co_filename.startswith(_OURS)
        if ours and code.co_name in _CALLS:
            break
        if not ours:
            found = frame
        frame = frame.f_back
    if found is None:
        return "nobody knows what"
    return f"{found.f_code.co_filename}:{found.f_lineno} in {found.f_code.co_name}"
