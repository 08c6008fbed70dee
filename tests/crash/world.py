"""The world: a process of its own that keeps the participants' books while others are killed.

One connection is one call: a line of JSON goes in, a line of JSON comes out. Before that comes `LANDED` where
the books have changed: it is no answer, and tells nothing to anyone but a process that is to die just then.
The world sees when a caller hangs up, so it knows when a call has ended even where nobody was left to say so.
Run it as
`python -m tests.crash.world SOCKET`; it ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.crash.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
LANDED = b'"landed"\n'
ON_THE_WAY_S = 0.002
"""So long a request is under way: who is killed when it was sent is dead when it lands."""
FOREVER = "*"
"""A directive that ends with it holds for all further calls too."""


@dataclass(slots=True)
class Call:
    """One call as the world saw it; `began` and `ended` are milliseconds of the system's clock.

    `landed` says that it changed the books, `repeated` that its key was known, `barred` that it came after
    its own undoing and was turned away.
    """

    number: int
    run: str
    verb: str
    name: str
    key: str
    forward_key: str
    began: float
    directive: str
    landed: bool = False
    repeated: bool = False
    barred: bool = False
    ended: float | None = None


@dataclass(slots=True)
class Books:
    """What the participants hold, and what they have been told.

    Directives say what becomes of the next calls of a run to a participant, one after the other:
    `refuse` (nothing lands, and the answer says so), `fail` (nothing lands, the answer is an error), `break`
    (it lands, the answer is an error), `close` (it lands, the connection is closed), `silent` (it lands and
    is never answered), `slow:MS` (it lands and is answered after so long), `late:MS` (it lands only after so
    long, whether or not the caller still listens), `hold` (it lands and is answered when released).
    """

    effects: dict[str, tuple[str, str]] = field(default_factory=dict)
    undone: set[str] = field(default_factory=set)
    undoings: set[str] = field(default_factory=set)
    calls: list[Call] = field(default_factory=list)
    directives: dict[tuple[str, str, str], list[str]] = field(default_factory=dict)
    gates: dict[tuple[str, str], asyncio.Event] = field(default_factory=dict)

    def note(self, request: Mapping[str, str]) -> Call:
        """Write down that a call has come."""
        run, verb, name = request["run"], request["verb"], request["name"]
        call = Call(
            len(self.calls) + 1, run, verb, name, request["key"], request.get("forward_key", ""), _now(),
            self._directive(run, verb, name),
        )  # fmt: skip
        self.calls.append(call)
        return call

    def land(self, call: Call) -> None:
        """Change the books as the call says; a known key changes nothing."""
        if call.verb == "undo":
            call.repeated = call.key in self.undoings
            self.undoings.add(call.key)
            self.undone.add(call.forward_key)
            call.landed = self.effects.pop(call.forward_key, None) is not None
        elif call.verb == "apply":
            call.barred = call.key in self.undone
            call.repeated = call.key in self.effects
            if not call.barred and not call.repeated:
                self.effects[call.key] = call.run, call.name
                call.landed = True

    def standing(self, run: str) -> dict[str, int]:
        """Count the effects of a run that stand, by name."""
        names = sorted(name for owner, name in self.effects.values() if owner == run)
        return {name: names.count(name) for name in names}

    def gate(self, run: str, name: str) -> asyncio.Event:
        return self.gates.setdefault((run, name), asyncio.Event())

    def _directive(self, run: str, verb: str, name: str) -> str:
        waiting = self.directives.get((run, verb, name))
        if not waiting:
            return "answer"
        if waiting[0].endswith(FOREVER):
            return waiting[0].removesuffix(FOREVER)
        return waiting.pop(0)


class _Server:
    """Answers calls and the tests' questions."""

    def __init__(self) -> None:
        self._books = Books()

    async def serve(self, path: str) -> None:
        """Serve until standard input ends."""
        loop = asyncio.get_running_loop()
        server = await asyncio.start_unix_server(self._answer, path, limit=1 << 20, backlog=1000)
        over = asyncio.Event()
        loop.add_reader(sys.stdin, over.set)
        async with server:
            await over.wait()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await reader.readline()
            if not line:
                return
            request = json.loads(line)
            answer = self._ask(request) if "ask" in request else await self._call(request, reader, writer)
            if answer is not None:
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except OSError:
            return
        finally:
            writer.close()

    async def _call(
        self, request: Mapping[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> object:
        call = self._books.note(request)
        try:
            return await self._follow(call, reader, writer)
        finally:
            call.ended = _now()

    async def _follow(self, call: Call, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> object:
        """Do as the directive says."""
        await asyncio.sleep(ON_THE_WAY_S)
        directive, _, delay = call.directive.partition(":")
        if directive in ("refuse", "fail"):
            return {directive: f"{call.name} says no"}
        if directive == "late":
            await asyncio.sleep(int(delay) / 1000)
        if call.verb == "find":
            return {"done" if call.key in self._books.effects else "absent": call.name}
        self._books.land(call)
        if call.verb != "read":
            writer.write(LANDED)
        if directive == "close":
            return None
        if directive in ("silent", "slow", "hold"):
            waiting = self._books.gate(call.run, call.name).wait() if directive == "hold" else asyncio.sleep(
                int(delay or 3_600_000) / 1000
            )  # fmt: skip
            if not await _unless_hung_up(waiting, reader):
                return None
        if directive == "break":
            return {"fail": f"{call.name} broke down"}
        return {"refuse": "it was undone before"} if call.barred else {"done": call.name}

    def _ask(self, request: Mapping[str, Any]) -> object:
        books, run = self._books, request.get("run", "")
        if request["ask"] == "standing":
            return books.standing(run)
        if request["ask"] == "calls":
            return [asdict(call) for call in books.calls if run in ("", call.run)]
        if request["ask"] == "direct":
            books.directives[run, request["verb"], request["name"]] = list(request["directives"])
        elif request["ask"] == "release":
            books.gate(run, request["name"]).set()
        elif request["ask"] == "reset":
            self._books = Books()
        return {}


async def _unless_hung_up(waiting: Any, reader: asyncio.StreamReader) -> bool:
    """Wait, but no longer than the caller does; tell whether it is still there."""
    wait, gone = asyncio.ensure_future(waiting), asyncio.ensure_future(reader.read())
    await asyncio.wait((wait, gone), return_when=asyncio.FIRST_COMPLETED)
    wait.cancel()
    if gone.done():
        return False
    gone.cancel()
    return True


def _now() -> float:
    return time.time() * 1000


class World:
    """The world as a test sees it; leaving the block ends its process."""

    def __init__(self, directory: Path) -> None:
        self.path = str(directory / "world")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.world", self.path], cwd=ROOT, stdin=subprocess.PIPE
        )

    def __enter__(self) -> Self:
        eventually(Path(self.path).exists, what="the world serves")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)

    def direct(self, run: str, name: str, directives: Sequence[str], *, verb: str = "apply") -> None:
        """Say what becomes of the next calls of a run to a participant; see `Books`."""
        self._ask("direct", run=run, name=name, verb=verb, directives=list(directives))

    def release(self, run: str, name: str) -> None:
        """Answer the calls that are held."""
        self._ask("release", run=run, name=name)

    def snapshot(self, run: str) -> dict[str, int]:
        """Give the effects of a run that stand, by name."""
        found: dict[str, int] = self._ask("standing", run=run)
        return found

    def calls(self, run: str = "") -> list[Call]:
        """Give the calls of a run, or all, in their order."""
        return [Call(**call) for call in self._ask("calls", run=run)]

    def reset(self) -> None:
        """Forget everything."""
        self._ask("reset")

    def _ask(self, question: str, **details: Any) -> Any:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self.path)
            connection.sendall(json.dumps({"ask": question, **details}).encode() + b"\n")
            with connection.makefile("rb") as answer:
                return json.loads(answer.readline())


if __name__ == "__main__":
    asyncio.run(_Server().serve(sys.argv[1]))
