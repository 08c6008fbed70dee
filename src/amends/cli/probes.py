"""A worker's answers to probes over HTTP: whether it is alive, and whether it can work."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ipaddress
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import TimeoutError as NotInTime
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from threading import Thread
from typing import Any, Final, cast

from amends.cli.errors import CommandError
from amends.sagas.health import Health

TOKEN: Final = "AMENDS_HEALTH_TOKEN"  # noqa: S105 - the name of a variable
WITHIN: Final = 5.0
"""Seconds within which the event loop has to answer; blocked for longer, the worker counts as dead."""
_MARGIN: Final = 1.0
_IDLE: Final = 10.0
"""Seconds after which a caller that says nothing is left alone."""

Ask = Callable[[], Awaitable[Health]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where probes are answered, and the token that they have to show; None on this machine alone."""

    host: str
    port: int
    token: str | None


def place_of(typed: str) -> Place:
    """Read `[HOST:]PORT`; without a host it is this machine alone.

    Raises `CommandError`, also for an address that others reach without a token in AMENDS_HEALTH_TOKEN.
    """
    host, _, port = typed.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    if not port.isascii() or not port.isdigit() or not 0 <= int(port) < 1 << 16:
        raise CommandError(f"--health {typed!r}: give a port, or HOST:PORT")
    token = os.environ.get(TOKEN) or None
    if token is None and not _is_loopback(host):
        raise CommandError(
            f"--health {typed!r}: others reach this address, so it needs a token, in {TOKEN}; "
            "probes show it as `Authorization: Bearer ...`"
        )
    return Place(host, int(port), token)


@contextlib.contextmanager
def answering(place: Place, loop: asyncio.AbstractEventLoop, ask: Ask) -> Iterator[int]:
    """Answer probes from threads of their own until the block ends; gives the port.

    `GET /live` is answered by 200 while the event loop runs, `GET /ready` while `ask` says so; by 503 with
    the reason otherwise. Raises `CommandError` when the address can't be had.
    """

    async def alive() -> Health:
        return Health(ready=True)

    questions: dict[str, Ask] = {"/live": alive, "/ready": ask}

    def answer(path: str) -> Health:
        asked = asyncio.run_coroutine_threadsafe(_awaited(questions[path]), loop)
        try:
            return asked.result(WITHIN + (_MARGIN if path == "/ready" else 0))
        except NotInTime:
            asked.cancel()
            return Health(ready=False, reason=f"the event loop is blocked for {WITHIN:g} s and more")

    try:
        server = _Server(place, frozenset(questions), answer)
    except OSError as problem:
        raise CommandError(
            f"--health: {place.host}:{place.port} can't be listened on: {problem.strerror or problem}"
        ) from None
    thread = Thread(target=server.serve_forever, args=(0.1,), name="amends-health", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, place: Place, paths: frozenset[str], answer: Callable[[str], Health]) -> None:
        self.place = place
        self.paths = paths
        self.answer = answer
        if ":" in place.host:
            self.address_family = socket.AF_INET6
        super().__init__((place.host, place.port), _Handler)

    def server_bind(self) -> None:
        """Take the address; the base class would ask the network for this machine's name, too."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.place.host, self.socket.getsockname()[1]


class _Handler(BaseHTTPRequestHandler):
    timeout = _IDLE
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        status, words = self._judged()
        body = f"{words}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - the base class's name

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent: a probe comes every few seconds."""

    def version_string(self) -> str:
        return "amends"

    @property
    def _of(self) -> _Server:
        return cast("_Server", self.server)

    def _judged(self) -> tuple[HTTPStatus, str]:
        if not self._may_ask():
            return HTTPStatus.UNAUTHORIZED, "a token is needed"
        if self.path not in self._of.paths:
            return HTTPStatus.NOT_FOUND, f"there are {' and '.join(sorted(self._of.paths))}"
        health = self._of.answer(self.path)
        if health.ready:
            return HTTPStatus.OK, "ok"
        return HTTPStatus.SERVICE_UNAVAILABLE, health.reason or "not ready"

    def _may_ask(self) -> bool:
        token = self._of.place.token
        if token is None:
            # A page in a browser on this machine comes by a name of its own choice.
            return _is_loopback(_name(self.headers.get("Host", "")))
        shown = self.headers.get("Authorization", "")
        return hmac.compare_digest(shown.encode(), f"Bearer {token}".encode())


async def _awaited(ask: Ask) -> Health:
    return await ask()


def _name(host: str) -> str:
    """Give a Host header without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
