"""Futures, tasks and timers with numbers, so that whatever orders them replays."""

import asyncio
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextvars import Context, copy_context
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")
Coro: TypeAlias = Coroutine[Any, Any, T] | Generator[Any, None, T]


class BodyFuture(asyncio.Future[T]):
    """A future that hashes by its number, so that sets of futures replay."""

    __slots__ = ("number",)
    number: int

    def __hash__(self) -> int:
        """Return the number: futures and tasks of one loop share one count."""
        return self.number


class BodyTask(asyncio.Task[T]):
    """A task that hashes by its number, so that the sets of `asyncio.wait` replay."""

    __slots__ = ("context", "number")

    def __init__(
        self, coro: Coro[T], loop: asyncio.AbstractEventLoop, number: int, name: str, context: Context
    ) -> None:
        # asyncio registers the task in a set while it is initialised.
        self.number = number
        self.context = context
        super().__init__(
            coro,
            loop=loop,
            name=name,
            context=context,
        )

    def __hash__(self) -> int:
        """Return the number: futures and tasks of one loop share one count."""
        return self.number


class BodyHandle(asyncio.Handle):
    """A callback that is ready to run."""

    __slots__ = ()
    _callback: Callable[..., object]
    _args: Sequence[Any]
    _context: Context

    # The base's __init__ asks the loop for its debug mode, on the hottest path.
    def __init__(
        self, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None
    ) -> None:
        self._callback = callback
        self._args = args
        self._context = copy_context() if context is None else context
        self._cancelled = False

    def cancel(self) -> None:
        """Forget the callback."""
        self._cancelled = True
        self._callback = _nothing
        self._args = ()

    def __repr__(self) -> str:
        """Show the callback."""
        return f"<{type(self).__name__} {self._callback!r}>"


SLEEPS = "_set_result_unless_cancelled"
"""The callback by which `asyncio.sleep` ends, in CPython."""


class BodyTimer(BodyHandle, asyncio.TimerHandle):
    """A callback with a time and a number; it runs once the loop is told to fire it."""

    __slots__ = ("_forget", "number", "since", "sleeps")

    def __init__(
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: Context | None,
        *,
        when: float,
        since: int,
        number: int,
        forget: Callable[[int], object],
    ) -> None:
        BodyHandle.__init__(self, callback, args, context)
        self._when = when
        self._forget = forget
        self.number = number
        self.since = since
        self.sleeps = getattr(callback, "__name__", "") == SLEEPS

    def cancel(self) -> None:
        """Take the timer out of the loop."""
        self._forget(self.number)
        BodyHandle.cancel(self)


def _nothing() -> None:
    """Stand in for a callback that was cancelled."""
