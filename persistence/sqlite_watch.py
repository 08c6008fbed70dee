"""Notice the commits of other processes in a SQLite file, by its data version."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection

_EAGER_S: Final = 0.005
_CALM_S: Final = 0.05
_EAGER_FOR_S: Final = 1.0


class FileWatch:
    """Ask for `PRAGMA data_version` every 5 ms for a second after foreign news, else every 50 ms."""

    def __init__(
        self,
        on_news: Callable[[], None],
        driver_of: Callable[[Connection], sqlite3.Connection],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_news = on_news
        self._driver_of = driver_of
        self._monotonic = monotonic
        self._driver: sqlite3.Connection | None = None
        self._version = 0
        self._next = 0.0
        self._eager_until = 0.0

    def use(self, connection: Connection) -> None:
        """Ask over the writer's own connection, where its own commits don't count.

        A new one may have missed something.
        """
        first = self._driver is None
        self._driver = self._driver_of(connection)
        self._version = _version(self._driver)
        if not first:
            self._on_news()

    def poll(self) -> float:
        """Ask, if it is time to; return after how many seconds to ask again."""
        now = self._monotonic()
        if now >= self._next and self._driver is not None:
            self._look(self._driver, now)
            self._next = now + (_EAGER_S if now < self._eager_until else _CALM_S)
        return max(self._next - now, 0.0) if self._driver is not None else _CALM_S

    def guard(self, connection: Connection | None) -> None:
        """Do nothing: a file always answers."""

    def close(self) -> None:
        """Let the connection go."""
        self._driver = None

    def _look(self, driver: sqlite3.Connection, now: float) -> None:
        try:
            version = _version(driver)
        except sqlite3.Error:
            # The next write over this connection meets the same error, and deals with it.
            return
        if version != self._version:
            self._version = version
            self._eager_until = now + _EAGER_FOR_S
            self._on_news()


def _version(driver: sqlite3.Connection) -> int:
    return int(driver.execute("PRAGMA data_version").fetchone()[0])
