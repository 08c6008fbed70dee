"""An event loop whose time jumps to what is due next, and which has no threads."""

from __future__ import annotations

import asyncio
import math
import selectors
from asyncio.events import _get_running_loop, _set_running_loop
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

PATIENCE = 5.0
"""Real seconds for which a step that does real I/O is waited for before virtual time goes on."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop for simulations: nothing sleeps, nothing runs beside it, so it repeats exactly.

    With nothing left to do it stops, and `stalled` says so.
    """

    def __init__(self) -> None:
        self._leaping = _Leaping()
        super().__init__(self._leaping)
        self.trouble: list[str] = []
        self.set_exception_handler(self._note)

    @property
    def ms(self) -> int:
        """The milliseconds that have passed."""
        return self._leaping.ms

    @property
    def stalled(self) -> bool:
        """Tell whether the loop stopped because nothing was left to do."""
        return self._leaping.stalled

    def time(self) -> float:
        """Give the virtual time in seconds."""
        return self._leaping.ms / 1000

    def run_in_executor(
        self,
        executor: Any,  # noqa: ARG002 - there are no threads
        func: Callable[[*Ts], T],
        *args: *Ts,
    ) -> asyncio.Future[T]:
        """Call the function at once, as if from a thread without a loop."""
        future: asyncio.Future[T] = self.create_future()
        running = _get_running_loop()
        _set_running_loop(None)
        try:
            future.set_result(func(*args))
        except StopIteration as error:
            future.set_exception(RuntimeError(f"a function raised {error!r}"))
        except Exception as error:  # noqa: BLE001 - as a thread's future takes whatever is raised
            future.set_exception(error)
        finally:
            _set_running_loop(running)
        return future

    def run(self) -> None:
        """Run until stopped or stalled, also where another loop is running."""
        self._leaping.stalled = False
        self._leaping.stop = self.stop
        running = _get_running_loop()
        _set_running_loop(None)
        try:
            self.run_forever()
        finally:
            _set_running_loop(running)

    def end(self) -> None:
        """Cancel what is left and close the loop."""
        for task in asyncio.all_tasks(self):
            task.cancel()
        self.call_soon(self.stop)
        self.run()
        if asyncio.all_tasks(self):
            self.call_later(1, self.stop)
            self.run()
        self.close()

    def _note(self, _loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        error = context.get("exception")
        told = f": {type(error).__name__}: {error}" if isinstance(error, BaseException) else ""
        self.trouble.append(f"{context.get('message')}{told}")


class _Leaping(selectors.DefaultSelector):
    """A selector that lets time jump instead of waiting, unless something real is waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.ms = 0
        self.stalled = False
        self.stop: Callable[[], None] = lambda: None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        real = len(self.get_map()) > 1
        if real:
            patience = PATIENCE if timeout is None else min(max(timeout, 0), PATIENCE)
            found: list[tuple[selectors.SelectorKey, int]] = super().select(patience)
            if found:
                return found
        if timeout is None:
            self.stalled = True
            self.stop()
        elif timeout > 0:
            self.ms += max(1, math.ceil(round(timeout * 1000, 3)))
        return []
