"""A proxy before a PostgreSQL server that cuts or swallows at COMMIT."""

import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

BUFFER = 65_536


class Fate(Enum):
    """What becomes of a COMMIT on its way."""

    PASSED = "passed"
    CUT_BEFORE = "cut before the server has it"
    CUT_AFTER = "cut once the server has answered"
    SWALLOWED = "the server has answered, and the client hears nothing"


class Proxy:
    """Passes bytes on, and asks `fate` for each COMMIT what is to become of it."""

    def __init__(self, directory: Path, server: Path, fate: Callable[[], Fate]) -> None:
        self._server = server
        self._fate = fate
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(directory / ".s.PGSQL.5432"))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        server = socket.socket(socket.AF_UNIX)
        with client, server, selectors.DefaultSelector() as selector, suppress(OSError):
            server.connect(str(self._server))
            selector.register(client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, client)
            while True:
                for key, _ in selector.select():
                    data = key.fileobj.recv(BUFFER) if isinstance(key.fileobj, socket.socket) else b""
                    if not data or (key.fileobj is client and self._ends(client, server, data)):
                        return
                    if key.fileobj is not client or b"COMMIT" not in data:
                        key.data.sendall(data)

    def _ends(self, client: socket.socket, server: socket.socket, data: bytes) -> bool:
        """Deal with what holds a COMMIT; tell whether the connection is over."""
        if b"COMMIT" not in data:
            return False
        fate = self._fate()
        if fate is Fate.CUT_BEFORE:
            return True
        server.sendall(data)
        if fate is Fate.PASSED:
            return False
        server.recv(BUFFER)
        if fate is Fate.SWALLOWED:
            while client.recv(BUFFER):
                pass
        return True


@contextmanager
def proxied(url: str, directory: Path, fate: Callable[[], Fate]) -> Iterator[str]:
    """Give the URL by which the server of `url` is reached through a proxy."""
    parts = urlsplit(url)
    host = parse_qs(parts.query)["host"][0]
    proxy = Proxy(directory, Path(host) / ".s.PGSQL.5432", fate)
    try:
        yield parts._replace(query=f"host={directory}").geturl()
    finally:
        proxy.close()
