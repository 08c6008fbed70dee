"""Listen to what other processes announce, and break connections that give no answer any more."""

from __future__ import annotations

import logging
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import psycopg
from psycopg import sql
from sqlalchemy import Connection, Engine

_log: Final = logging.getLogger("amends.persistence")
_SHORTEST_S: Final = 0.1
_LONGEST_S: Final = 5.0
SHOWN: Final = "~"
"""How a notification begins that only concerns who watches runs."""
_WRITER: Final = "writer"
_LISTENER: Final = "listener"


class ServerWatch:
    """Two daemon threads: one listens on a channel, one looks at the time.

    Notifications only make things quicker: who misses some still finds all by asking now and then. After each
    new connection `on_news` is called once, because something may have been missed. Without an `engine`
    nothing is listened to.
    """

    def __init__(
        self,
        engine: Engine | None,
        channel: str,
        sender: str,
        on_news: Callable[[], None],
        on_shown: Callable[[], None],
        *,
        settings: bytes | None,
        patience_s: float,
    ) -> None:
        self._watchdog = _Watchdog(patience_s)
        self._settings = settings
        self._channel = channel
        self._sender = sender
        self._on_news = on_news
        self._on_shown = on_shown
        self._closed = threading.Event()
        self._awake, self._wake = socket.socketpair()
        self._thread = threading.Thread(
            target=self._work, args=(engine,), name="amends listener", daemon=True
        )
        self._thread.start()

    def poll(self) -> float:
        """Return a long time: the thread tells of news by itself."""
        return 60.0

    def use(self, connection: Connection) -> None:
        """Bound what the writer's connection waits for in the server; news comes over another one."""
        self.guard(connection)
        if self._settings is not None:
            driver = _driver(connection)
            driver.autocommit = True
            driver.execute(self._settings)
            driver.autocommit = False

    def guard(self, connection: Connection | None) -> None:
        """Shut the socket of `connection` down if it is still guarded when the patience is over."""
        self._watchdog.guard(_WRITER, None if connection is None else _driver(connection))

    def close(self) -> None:
        """End the threads and the connection."""
        if not self._closed.is_set():
            self._closed.set()
            # The thread may have ended on its own, and its end of the pair with it.
            with suppress(OSError):
                self._wake.send(b"!")
            self._thread.join(1.0)
            self._wake.close()
            self._watchdog.close()

    def _work(self, engine: Engine | None) -> None:
        delay = _SHORTEST_S
        while engine is not None and not self._closed.is_set():
            try:
                with engine.connect() as connection:
                    try:
                        driver = self._begin(connection)
                        delay = _SHORTEST_S
                        self._on_news()
                        self._listen(driver)
                    except Exception:
                        # The pool would try to reset it, and log a traceback when that fails.
                        connection.invalidate()
                        raise
            except Exception as error:  # noqa: BLE001 - whatever it is, the thread connects again
                _log.debug("listening for news broke off: %s", error)
            self._watchdog.guard(_LISTENER, None)
            self._closed.wait(delay)
            delay = min(delay * 2, _LONGEST_S)
        self._awake.close()

    def _begin(self, connection: Connection) -> psycopg.Connection[tuple[object, ...]]:
        driver = _driver(connection)
        self._watchdog.guard(_LISTENER, driver)
        driver.autocommit = True
        driver.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
        self._watchdog.guard(_LISTENER, None)
        return driver

    def _listen(self, driver: psycopg.Connection[tuple[object, ...]]) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(driver.fileno(), selectors.EVENT_READ)
            selector.register(self._awake, selectors.EVENT_READ)
            while not self._closed.is_set():
                selector.select()
                told = {notice.payload for notice in driver.notifies(timeout=0)}
                told -= {self._sender, f"{SHOWN}{self._sender}"}
                if any(not sender.startswith(SHOWN) for sender in told):
                    self._on_news()
                elif told:
                    self._on_shown()


class _Watchdog:
    """Shut down the sockets of those that wait too long: nothing else ends a wait for a lost server."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._guarded: dict[str, tuple[int, float]] = {}
        self._closed = threading.Event()
        threading.Thread(target=self._work, name="amends watchdog", daemon=True).start()

    def guard(self, who: str, driver: psycopg.Connection[tuple[object, ...]] | None) -> None:
        """Give `who` time for answers over `driver` from now on; None: it waits for nothing."""
        with self._lock:
            if driver is None or driver.closed:
                self._guarded.pop(who, None)
            else:
                self._guarded[who] = (driver.fileno(), time.monotonic() + self._patience_s)

    def close(self) -> None:
        """End the thread."""
        self._closed.set()

    def _work(self) -> None:
        while not self._closed.wait(min(self._patience_s / 2, 1.0)):
            now = time.monotonic()
            with self._lock:
                for who in [who for who, (_, until) in self._guarded.items() if until <= now]:
                    handle, _ = self._guarded.pop(who)
                    _log.warning("the database gave the %s no answer for %.0f s", who, self._patience_s)
                    shut_down(handle)


def shut_down(handle: int) -> None:
    """End the connection in both directions; its owner finds out by an error."""
    with suppress(OSError), socket.socket(fileno=os.dup(handle)) as copy:
        copy.shutdown(socket.SHUT_RDWR)


def _driver(connection: Connection) -> psycopg.Connection[tuple[object, ...]]:
    driver = connection.connection.driver_connection
    if not isinstance(driver, psycopg.Connection):
        raise TypeError("the connection's driver isn't psycopg")
    return driver
