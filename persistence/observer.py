"""Being told of a writer's commits: for whoever measures them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

_log: Final = logging.getLogger("amends.persistence")


class Observer(Protocol):
    """Is told of commits, in the writer's thread: it has to return at once."""

    def committed(self, writes: int, seconds: float) -> None:
        """Take that a transaction of so many writes was committed; `seconds` with the tries that failed."""

    def claimed(self, runs: int) -> None:
        """Take that so many runs were claimed together."""

    def lease_lost(self) -> None:
        """Take that the worker's lease was lost."""


class Observed:
    """Tells an observer, if there is one; what goes wrong with it harms no write."""

    def __init__(self, observer: Observer | None) -> None:
        self._observer = observer

    def committed(self, writes: int, seconds: float) -> None:
        """Tell of a commit."""
        if self._observer is not None and writes:
            with _harmless("a commit could not be measured"):
                self._observer.committed(writes, seconds)

    def claimed(self, runs: int) -> None:
        """Tell of a claim."""
        if self._observer is not None and runs:
            with _harmless("a claim could not be counted"):
                self._observer.claimed(runs)

    def lease_lost(self) -> None:
        """Tell that the lease was lost."""
        if self._observer is not None:
            with _harmless("a lost lease could not be counted"):
                self._observer.lease_lost()


@contextmanager
def _harmless(words: str) -> Iterator[None]:
    try:
        yield
    except Exception:  # noqa: BLE001 - whoever measures harms no write
        _log.exception(words)
