"""Listen to what other processes announce, and break a connection that gives no answer any more."""

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
_LOOK_S: Final = 1.0
_SHORTEST_S: Final = 0.1
_LONGEST_S: Final = 5.0


class ServerWatch:
    """A daemon thread with a connection of its own that listens on a channel.

    Notifications only make things quicker: who misses some still finds all by asking now and then. After each
    new connection `on_news` is called once, because something may have been missed.
    """

    def __init__(
        self, engine: Engine, channel: str, sender: str, on_news: Callable[[], None], *, patience_s: float
    ) -> None:
        self._engine = engine
        self._channel = channel
        self._sender = sender
        self._on_news = on_news
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._guarded: tuple[int, float] | None = None
        self._closed = threading.Event()
        self._awake, self._wake = socket.socketpair()
        self._thread = threading.Thread(target=self._work, name="amends listener", daemon=True)
        self._thread.start()

    def poll(self) -> float:
        """Return a long time: the thread tells of news by itself."""
        return 60.0

    def guard(self, connection: Connection | None) -> None:
        """Shut the socket of `connection` down if it is still guarded when its patience is over."""
        guarded = None
        if connection is not None:
            driver = connection.connection.driver_connection
            if isinstance(driver, psycopg.Connection) and not driver.closed:
                guarded = (driver.fileno(), time.monotonic() + self._patience_s)
        with self._lock:
            self._guarded = guarded

    def close(self) -> None:
        """End the thread and its connection."""
        if not self._closed.is_set():
            self._closed.set()
            # The thread may have ended on its own, and its end of the pair with it.
            with suppress(OSError):
                self._wake.send(b"!")
            self._thread.join(_LOOK_S)
            self._wake.close()

    def _work(self) -> None:
        delay = _SHORTEST_S
        while not self._closed.is_set():
            try:
                with self._engine.connect() as connection:
                    driver = connection.connection.driver_connection
                    if not isinstance(driver, psycopg.Connection):
                        raise TypeError("the connection's driver isn't psycopg")
                    driver.autocommit = True
                    driver.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
                    self._on_news()
                    delay = _SHORTEST_S
                    self._listen(driver)
            except Exception as error:  # noqa: BLE001 - whatever it is, the thread connects again
                _log.debug("listening for news broke off: %s", error)
            self._break_the_silent()
            self._closed.wait(delay)
            delay = min(delay * 2, _LONGEST_S)
        self._awake.close()

    def _listen(self, driver: psycopg.Connection[tuple[object, ...]]) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(driver.fileno(), selectors.EVENT_READ)
            selector.register(self._awake, selectors.EVENT_READ)
            while not self._closed.is_set():
                if selector.select(_LOOK_S):
                    others = [
                        notice for notice in driver.notifies(timeout=0) if notice.payload != self._sender
                    ]
                    if others:
                        self._on_news()
                self._break_the_silent()

    def _break_the_silent(self) -> None:
        with self._lock:
            if self._guarded is None or time.monotonic() < self._guarded[1]:
                return
            handle, self._guarded = self._guarded[0], None
            _log.warning(
                "the database gave no answer for %.0f s: its connection is given up", self._patience_s
            )
            try:
                with socket.socket(fileno=os.dup(handle)) as copy:
                    copy.shutdown(socket.SHUT_RDWR)
            except OSError as error:
                _log.debug("the connection was gone already: %s", error)
