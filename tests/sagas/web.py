"""A service over real HTTP that answers as its path says, and addresses at which nobody answers."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

SECONDS = 30


@dataclass(slots=True)
class Web:
    """A running service: its address, the requests that it got, and the gate at which `/silent` waits.

    `/status/402` answers so, with `?after=7` as `Retry-After`, `?to=/…` as `Location`, and 3,000 times
    `?text=x` in its body; `/script/429,200` with one after the other. `/cut` ends the connection instead of
    an answer, `/half` in the middle of one.
    """

    url: str
    requests: list[tuple[str, str, Message]] = field(default_factory=list)
    scripts: dict[str, Iterator[str]] = field(default_factory=dict)
    gate: threading.Event = field(default_factory=threading.Event)
    asked: threading.Event = field(default_factory=threading.Event)

    def keys(self) -> list[str | None]:
        """List the idempotency keys that came."""
        return [headers["Idempotency-Key"] for _, _, headers in self.requests]


class Handler(BaseHTTPRequestHandler):
    """Does what the path says."""

    protocol_version = "HTTP/1.1"
    web: Web

    def do_POST(self) -> None:
        """Take the request in, and answer it or don't."""
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        url = urlsplit(self.path)
        self.web.requests.append((self.command, url.path, self.headers))
        _, what, *rest = url.path.split("/")
        match what:
            case "status":
                self._answer(int(rest[0]), parse_qs(url.query))
            case "script":
                script = self.web.scripts.setdefault(url.path, iter(rest[0].split(",")))
                self._answer(int(next(script)), parse_qs(url.query))
            case "silent":
                self.web.asked.set()
                self.web.gate.wait(SECONDS)
                self.close_connection = True
            case "cut":
                self.close_connection = True
            case "half":
                self.close_connection = True
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

    do_GET = do_DELETE = do_POST  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: object) -> None:
        """Keep silent."""

    def _answer(self, status: int, options: dict[str, list[str]]) -> None:
        text = "".join(options.get("text", ["x"])) * 3000
        body = json.dumps({"code": f"because-{status}", "text": text}, ensure_ascii=False).encode()
        self.send_response_only(status)
        headers = {"Retry-After": "after", "Location": "to", "Date": "date"}
        for name, option in headers.items():
            for value in options.get(option, []):
                self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Set-Cookie", "secret=1")
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """Quiet about callers that go away."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serving() -> Iterator[Web]:
    """Run the service until the block ends."""
    with Server(("127.0.0.1", 0), Handler) as server:
        web = Web(f"http://127.0.0.1:{server.server_port}")
        server.RequestHandlerClass = type("WithWeb", (Handler,), {"web": web})
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield web
        finally:
            web.gate.set()
            server.shutdown()
            thread.join(SECONDS)


@contextlib.contextmanager
def nobody(*, backlog: int | None = None) -> Iterator[str]:
    """Give an address that refuses connections; with a backlog, one that takes so many and reads nothing."""
    with contextlib.ExitStack() as stack:
        closed = stack.enter_context(socket.socket())
        closed.bind(("127.0.0.1", 0))
        if backlog is not None:
            closed.listen(backlog)
        yield f"http://127.0.0.1:{closed.getsockname()[1]}"


@contextlib.contextmanager
def full() -> Iterator[str]:
    """Give an address whose queue is full: connecting to it takes for ever."""
    with nobody(backlog=0) as url, contextlib.ExitStack() as stack:
        address = ("127.0.0.1", int(url.rpartition(":")[2]))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex(address)
        yield url


def paths(web: Web) -> Sequence[str]:
    """List the paths that were asked for."""
    return [path for _, path, _ in web.requests]
