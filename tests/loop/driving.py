"""A body on its loop, driven as a coordinator drives it: one piece of news at a time."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from amends.sagas.loop import BodyLoop


class Refused(Exception):
    """What the loop raises for real I/O in these tests."""


class Driven:
    """One loop, the steps that its body waits for, and what the body wrote down."""

    def __init__(self, *, max_callbacks: int = 100_000) -> None:
        self.loop = BodyLoop(refuse=Refused, max_callbacks=max_callbacks)
        self.waiting: dict[str, asyncio.Future[Any]] = {}
        self.log: list[Any] = []

    async def step(self, name: str) -> Any:
        """Wait until `land` or `fail` is called with that name."""
        self.log.append(f"call {name}")
        future = self.waiting[name] = self.loop.create_future()
        return await future

    def begin(self, body: Callable[["Driven"], Coroutine[Any, Any, Any]]) -> asyncio.Task[Any]:
        """Run the body until it blocks."""
        task = self.loop.create_task(body(self))
        self.loop.turn()
        return task

    def land(self, name: str) -> None:
        """Give a step's result, its own name, to the body."""
        future = self.waiting.pop(name)
        if not future.done():
            future.set_result(name)
        self.loop.turn()

    def fail(self, name: str) -> None:
        """Let a step fail."""
        future = self.waiting.pop(name)
        if not future.done():
            future.set_exception(LookupError(name))
        self.loop.turn()

    def pass_time(self) -> None:
        """Go to the earliest timer's time and fire it."""
        when = self.loop.next_due_ms()
        assert when is not None
        self.loop.now_ms = when
        number = self.loop.due(when)
        assert number is not None
        self.loop.fire(number)
        self.loop.turn()

    def news(self, *entries: str) -> list[Any]:
        """Apply entries such as ``"a"`` (landed), ``"!a"`` (failed), ``"."`` (time)."""
        for entry in entries:
            if entry == ".":
                self.pass_time()
            elif entry.startswith("!"):
                self.fail(entry[1:])
            else:
                self.land(entry)
        return self.log
