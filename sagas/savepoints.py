"""The savepoints of one body: which are open, what is under way in them, which are being undone (S20)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from amends.sagas.errors import DefinitionError
from amends.sagas.loop import BodyLoop


class Savepoints:
    """Numbers savepoints like steps, and checks that nothing outlives them.

    `number` gives the next number, `issue` asks for the undoing of one.
    """

    def __init__(self, loop: BodyLoop, number: Callable[[], int], issue: Callable[[int], None]) -> None:
        self._loop = loop
        self._number = number
        self._issue = issue
        self._calls: dict[int, tuple[str, tuple[int, ...]]] = {}
        self._rolling: dict[int, asyncio.Future[None]] = {}
        self._over: set[int] = set()

    def open(self) -> int:
        """Begin a savepoint; gives its number."""
        return self._number()

    def enter(self, ref: int, name: str, path: tuple[int, ...]) -> None:
        """Note that a call made inside savepoints is under way."""
        if path:
            self._calls[ref] = name, path

    def leave(self, ref: int) -> None:
        """Note that a call has come to its end."""
        self._calls.pop(ref, None)

    def close(self, number: int) -> None:
        """End a savepoint whose steps stay. Raises `DefinitionError` while some are under way."""
        if number in self._over or self._loop.shutting:
            return
        self._over.add(number)
        going = [name for name, path in self._calls.values() if number in path]
        if going:
            raise DefinitionError(
                f"a savepoint was left while {', '.join(map(repr, going))} called in it is still under way; "
                "let its tasks end first: asyncio.TaskGroup waits for them"
            )

    def roll_back(self, number: int) -> asyncio.Future[None]:
        """Have a savepoint's steps undone; those under way are let end first."""
        self._over.add(number)
        future: asyncio.Future[None] = self._loop.create_future()
        self._rolling[number] = future
        if not self._loop.shutting:
            self._issue(number)
        return future

    def rolled_back(self, number: int) -> None:
        """Let the body go on behind a savepoint. Raises `KeyError` where it waits for none."""
        self._rolling.pop(number).set_result(None)

    def forget(self) -> None:
        """Let go of what waits, and of the body: it goes at once then, and not with a collection."""
        self._rolling.clear()
        self._number, self._issue = int, _ignore

    def check(self, what: str, path: tuple[int, ...]) -> None:
        """Refuse a call by a task that outlived its savepoint. Raises `DefinitionError`."""
        if any(number in self._over for number in path):
            raise DefinitionError(
                f"{what} was called by a task that outlived its savepoint; let the tasks begun "
                "in a savepoint end before it does: asyncio.TaskGroup waits for them"
            )


def _ignore(_number: int) -> None:
    """Ask for nothing any more."""
