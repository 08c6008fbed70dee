"""Receiving signals in a saga's body."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Coroutine, Generator
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, overload

from amends.sagas import checked
from amends.sagas.context import running_body
from amends.sagas.errors import DefinitionError, InputInvalid, OutsideRun
from amends.sagas.signals import default_name

T = TypeVar("T")


class Receiving(Coroutine[Any, Any, T], Generic[T]):
    """What `receive` gives: awaited, it is the next signal; iterated by `async for`, one after the other.

    Leaving the loop loses nothing: what has not been received stays for the next `receive`.
    """

    def __init__(self, annotation: Any, name: str, seconds: float | None) -> None:
        self._annotation = annotation
        self._name = name
        self._seconds = seconds
        self._coroutine: Coroutine[Any, Any, T] | None = None

    def __await__(self) -> Generator[Any, None, T]:
        return self._next().__await__()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        return await self._next()

    def send(self, value: Any) -> Any:
        """Go on, as a coroutine does: a task can be made of it."""
        return self._begun().send(value)

    def throw(self, kind: Any, value: Any = None, trace: TracebackType | None = None) -> Any:
        """Raise an error inside, as a coroutine does."""
        error = kind if isinstance(kind, BaseException) else value or kind()
        return self._begun().throw(error if trace is None else error.with_traceback(trace))

    def close(self) -> None:
        """Give it up, as a coroutine does."""
        if self._coroutine is not None:
            self._coroutine.close()

    def _begun(self) -> Coroutine[Any, Any, T]:
        if self._coroutine is None:
            self._coroutine = self._next()
        return self._coroutine

    async def _next(self) -> T:
        body = running_body()
        if body is None:
            raise OutsideRun(
                f"receive({self._name!r}) was called outside a saga's body; only a run can be sent signals"
            )
        kind = body.saga.signals.learn(self._name, self._annotation)
        async with asyncio.timeout(self._seconds):
            letter = await body.next_letter(self._name)
        try:
            value: T = kind.decode(letter.payload)
        except ValueError as problem:
            raise InputInvalid(
                f"run {body.run.id!r}: signal {self._name!r} (journal entry {letter.seq}) doesn't fit "
                f"{self._annotation!r}: {problem}"
            ) from problem
        return value


@overload
def receive(
    kind: type[T], *, name: str | None = None, timeout: dt.timedelta | float | None = None
) -> Receiving[T]: ...
@overload
def receive(
    kind: Any, *, name: str | None = None, timeout: dt.timedelta | float | None = None
) -> Receiving[Any]: ...
def receive(
    kind: Any, *, name: str | None = None, timeout: dt.timedelta | float | None = None
) -> Receiving[Any]:
    """Wait durably for a signal to this run: no thread, no task and no memory is held.

    `kind` is what it is decoded to; `name` is the signal's, the type's own name when left out. Signals of one
    name come in the order in which they were sent, each once, also those that were sent before. With
    `timeout`, a `timedelta` or seconds, `TimeoutError` is raised when none comes in time; one that comes
    later stays for the next `receive`.
    Raises `InputInvalid` for a signal that doesn't fit `kind` (it is received with that), `DefinitionError`
    for a name that can't be stored, `OutsideRun` when awaited outside a saga's body.

    >>> payment = await receive(Payment, name="paid", timeout=timedelta(days=3))
    >>> async for event in receive(Event, name="event"):
    ...     await handle(event)
    """
    named = default_name(kind) if name is None else name
    if name is None and not named:
        raise DefinitionError(f"receive({kind!r}) needs name=: the type has no name of its own")
    seconds = timeout.total_seconds() if isinstance(timeout, dt.timedelta) else timeout
    return Receiving(kind, checked.name(named, "a signal's name"), seconds)
