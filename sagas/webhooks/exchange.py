"""One exchange over ASGI: reading a request within bounds, and answering it in JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

TOO_LARGE: Final = 413


class Disconnected(Exception):
    """The caller has gone; nobody waits for an answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: its status, what it says, and further headers."""

    status: int
    said: str
    headers: Mapping[str, str] = field(default_factory=dict)


class Refusal(Exception):
    """A request that isn't looked at any further, with its answer."""

    def __init__(self, status: int, said: str, **headers: str) -> None:
        super().__init__(said)
        self.answer = Answer(status, said, {name.replace("_", "-"): value for name, value in headers.items()})


def places_of(scope: Scope) -> tuple[str, str]:
    """Give where the app is mounted, and the path below that, both decoded."""
    path, root = str(scope["path"]), str(scope.get("root_path", "")).rstrip("/")
    mounted = root and (path == root or path.startswith(f"{root}/"))
    return root, path[len(root) :] if mounted else path


def headers_of(scope: Scope) -> dict[str, str]:
    """Give the headers, their names in lower case; those that come several times are joined by commas."""
    found: dict[str, str] = {}
    for raw_name, raw in scope["headers"]:
        name, value = bytes(raw_name).decode("latin-1").lower(), bytes(raw).decode("latin-1")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


async def body_of(headers: Mapping[str, str], receive: Receive, *, most: int, seconds: float) -> bytes:
    """Read the body, as long as it isn't over `most` bytes and comes within `seconds`.

    Raises `Refusal`, and `Disconnected` where the caller goes away.
    """
    told = headers.get("content-length", "0")
    if not (told.isascii() and told.isdigit()):
        raise Refusal(400, "content-length is a number of bytes")
    # int() of very many digits is slow, and refused by Python.
    if len(told.lstrip("0")) > len(str(most)) or int(told.lstrip("0") or "0") > most:
        raise _too_large(most)
    try:
        async with asyncio.timeout(seconds):
            return await _all(receive, most)
    except TimeoutError:
        raise Refusal(408, "the body didn't come in time", connection="close") from None


async def reply(send: Send, answer: Answer) -> None:
    """Send an answer, as JSON."""
    key = "status" if answer.status < 300 else "error"  # noqa: PLR2004 - 2xx is well
    body = json.dumps({key: answer.said}).encode()
    headers = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "cache-control": "no-store",
        **answer.headers,
    }
    coded = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": coded})
    await send({"type": "http.response.body", "body": body})


async def _all(receive: Receive, most: int) -> bytes:
    whole = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Disconnected
        whole += message.get("body", b"")
        if len(whole) > most:
            raise _too_large(most)
        if not message.get("more_body", False):
            return bytes(whole)


def _too_large(most: int) -> Refusal:
    return Refusal(TOO_LARGE, f"the body is larger than {most:,} bytes", connection="close")
