"""How long to wait before trying again, and how often to say why."""

from __future__ import annotations

import logging
import random
import threading
import time
from typing import Final

_log: Final = logging.getLogger("amends.persistence")
_SHORTEST_S: Final = 0.05
_LONGEST_S: Final = 2.0
_LOG_EVERY_S: Final = 10.0


class Abandoned(Exception):
    """What was to be written can't be, and the time given for closing is over."""


class Patience:
    """Wait between tries: 0.05 s, then twice as long each time up to 2 s, with jitter."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._delay = _SHORTEST_S
        self._logged = -_LOG_EVERY_S
        self._hurry = threading.Event()
        self._abandon = threading.Event()

    def hurry(self) -> None:
        """End the wait under way: it is time to close, and worth another try."""
        self._hurry.set()

    def abandon(self) -> None:
        """Let the next wait, or the one under way, raise `Abandoned`."""
        self._abandon.set()
        self._hurry.set()

    def wait(self, words: str) -> None:
        """Wait before the next try.

        Raises:
            Abandoned: there is to be no next try.
        """
        now = time.monotonic()
        if now - self._logged >= _LOG_EVERY_S:
            self._logged = now
            _log.warning("%s: the database can't be written now, trying again: %s", self._name, words)
        delay = self._delay * random.uniform(0.5, 1.0)  # noqa: S311 - jitter is no secret
        self._delay = min(self._delay * 2, _LONGEST_S)
        (self._abandon if self._hurry.is_set() else self._hurry).wait(delay)
        self.check()

    def check(self) -> None:
        """Raise `Abandoned` if there is to be no next try."""
        if self._abandon.is_set():
            raise Abandoned

    def rest(self) -> None:
        """Begin anew with the shortest wait: a try went well."""
        self._delay = _SHORTEST_S
