"""How a step calls the world: over one connection a call, with points at which the caller may die."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any

from opentelemetry import trace

from amends.sagas import NoEffect, Undo, current_step
from tests.crash.points import Points
from tests.crash.world import LANDED

THREAD_TIMEOUT_S = 2.0


class Refused(NoEffect):
    """The participant refused: nothing has happened."""


class Unavailable(Exception):
    """The participant gave no answer, or an error: who knows what has happened."""


class Participant:
    """The world as steps see it; they get it as `current_step().resources`.

    `reached` tells of calls that have been sent, for those who wait for one.
    """

    def __init__(self, path: str, points: Points) -> None:
        self._path = path
        self.points = points
        self.reached: dict[str, asyncio.Event] = {}

    async def apply(self, name: str) -> str:
        """Have an effect."""
        return (await self._call(_forward("apply", name)))["done"]

    async def read(self, name: str) -> str:
        """Look, and change nothing."""
        return (await self._call(_forward("read", name)))["done"]

    async def find(self, name: str) -> bool:
        """Tell whether the effect of this step's key stands."""
        return "done" in await self._call(_forward("find", name))

    async def undo(self, name: str, undo: Undo[Any]) -> None:
        """Take an effect back."""
        await self._call(_backward(name, undo))

    def apply_in_thread(self, name: str) -> str:
        """Have an effect, blocking."""
        return self._call_in_thread(_forward("apply", name))["done"]

    def undo_in_thread(self, name: str, undo: Undo[Any]) -> None:
        """Take an effect back, blocking."""
        self._call_in_thread(_backward(name, undo))

    @contextlib.contextmanager
    def row(self, name: str, verb: str = "apply") -> Iterator[None]:
        """Write or remove a row in the step's own transaction, whose commit makes points as well."""
        key = current_step().idempotency_key
        self.points.reach("row", verb, name, key)
        yield
        self.points.reach("rowed", verb, name, key)
        self.points.rowed = True

    async def standing(self, run: str) -> dict[str, int]:
        """Look at the books as a person does: the effects of a run that stand, by name."""
        reader, writer = await asyncio.open_unix_connection(self._path)
        writer.write(json.dumps({"ask": "standing", "run": run}).encode() + b"\n")
        found: dict[str, int] = json.loads(await reader.readline())
        writer.close()
        return found

    def sent(self, name: str) -> asyncio.Event:
        """Give the event that a call to a participant was sent from this process."""
        return self.reached.setdefault(name, asyncio.Event())

    async def _call(self, request: dict[str, str]) -> dict[str, str]:
        words = _words(request)
        _say(request)
        self.points.reach("call", *words)
        reader, writer = await asyncio.open_unix_connection(self._path)
        try:
            writer.write(json.dumps(request).encode() + b"\n")
            await writer.drain()
            self.points.reach("sent", *words)
            self.sent(request["name"]).set()
            line = await reader.readline()
            if line == LANDED:
                self.points.reach("landed", *words)
                line = await reader.readline()
        finally:
            writer.close()
        self.points.reach("answered", *words)
        return _answer(line)

    def _call_in_thread(self, request: dict[str, str]) -> dict[str, str]:
        words = _words(request)
        _say(request)
        self.points.reach("call", *words)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(THREAD_TIMEOUT_S)
            connection.connect(self._path)
            connection.sendall(json.dumps(request).encode() + b"\n")
            self.points.reach("sent", *words)
            with connection.makefile("rb") as answer:
                line = answer.readline()
                if line == LANDED:
                    self.points.reach("landed", *words)
                    line = answer.readline()
        self.points.reach("answered", *words)
        return _answer(line)


def _forward(verb: str, name: str) -> dict[str, str]:
    here = current_step()
    return {"run": _root(here.run_id), "verb": verb, "name": name, "key": here.idempotency_key}


def _backward(name: str, undo: Undo[Any]) -> dict[str, str]:
    run = _root(current_step().run_id)
    return {"run": run, "verb": "undo", "name": name, "key": undo.key, "forward_key": undo.forward_key}


def _root(run_id: str) -> str:
    """Give the run above all: what its children do, is done for it."""
    return run_id.partition("/")[0]


def _words(request: dict[str, str]) -> tuple[str, str, str]:
    return request["verb"], request["name"], request["key"]


def _say(request: dict[str, str]) -> None:
    """Say on the attempt's span what is called, as instrumented code does."""
    span = trace.get_current_span()
    span.set_attribute("shop.item", request["name"])
    span.add_event("called", {"verb": request["verb"]})


def _answer(line: bytes) -> dict[str, str]:
    if not line:
        raise Unavailable("the connection was closed")
    answer: dict[str, str] = json.loads(line)
    if "refuse" in answer:
        raise Refused(answer["refuse"])
    if "fail" in answer:
        raise Unavailable(answer["fail"])
    return answer
