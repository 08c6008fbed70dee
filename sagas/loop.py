"""The deterministic event loop on which a saga's body runs and is replayed.

It has no selector, no clock and no threads: it runs what is ready, in order,
and a timer fires only when it is told to. It needs the standard library alone.
"""

import asyncio
import heapq
import math
import sys
from asyncio.events import _get_running_loop, _set_running_loop
from asyncio.tasks import _enter_task, _leave_task
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from typing import Any, TypeVar, TypeVarTuple, cast

from amends.sagas.loop_closing import close_coroutine, close_generator, silence
from amends.sagas.loop_numbered import BodyFuture, BodyHandle, BodyTask, BodyTimer, Coro
from amends.sagas.loop_order import given_to_as_completed, wrapped_by_ensure_future
from amends.sagas.loop_refusals import RefusingLoop

__all__ = ["BodyFuture", "BodyLoop", "BodyTask", "EndlessTurn"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

MIN_SWEEP = 64
"""Below so many, ended tasks and generators and cancelled timers are left lying."""
MAX_UNHANDLED = 100
"""So many unhandled errors are kept."""


class EndlessTurn(RuntimeError):
    """A body ran more callbacks in one turn than a turn may have."""

    def __init__(self, callbacks: int) -> None:
        super().__init__(
            f"the body ran {callbacks:,} callbacks in one turn without waiting for anything: "
            "an endless loop, or too much work for a body: put it in a step"
        )
        self.callbacks = callbacks


class BodyLoop(RefusingLoop):
    """An event loop that does the same thing again when it is told the same things.

    Its owner sets `now_ms`, fires timers, resolves futures that the body awaits,
    and calls `turn` after each, so the order in which it does so is all that
    decides what the body does. Not safe to use from two threads at once.

    Args:
        refuse: Builds the exception raised for real I/O from the name of the
            refused method, such as ``"create_connection"``.
        max_callbacks: How many callbacks one turn may run.
        first: Where the numbers of futures and tasks begin. They are the hashes too, and asyncio keeps
            all tasks of a process in one set: loops that begin alike would collide there.

    """

    def __init__(
        self, *, refuse: Callable[[str], BaseException], max_callbacks: int = 100_000, first: int = 0
    ) -> None:
        super().__init__(refuse)
        self.max_callbacks = max_callbacks
        self.now_ms = 0
        self.shutting = False
        self.body: Any = None
        self.unhandled: list[dict[str, Any]] = []
        self._turning = False
        self._first = first
        self._numbers = first
        self._timer_numbers = 0
        self._ready: deque[BodyHandle] = deque()
        self._timers: dict[int, BodyTimer] = {}
        self._heap: list[tuple[float, int]] = []
        self._tasks: dict[int, BodyTask[Any]] = {}
        self._tasks_limit = MIN_SWEEP
        self._generators: list[Any] = []
        self._generators_limit = MIN_SWEEP
        self._arranged: dict[int, asyncio.Future[Any]] = {}

    def turn(self) -> None:
        """Run everything that is ready, and what that makes ready, until nothing is.

        Works from a callback and from a task of another running loop, and without one.

        Raises:
            EndlessTurn: More than `max_callbacks` callbacks ran. The rest stay ready.
            KeyboardInterrupt, SystemExit: A callback raised it. The rest stay ready.

        """
        if self._ready:
            leave = self._enter()
            try:
                self._drain()
            finally:
                leave()

    def _enter(self) -> Callable[[], None]:
        if self._turning:
            raise RuntimeError("the body's loop is in a turn already")
        outer = _get_running_loop()
        task = None if outer is None else asyncio.current_task(outer)
        if outer is not None and task is not None:
            # Newer CPythons keep one current task per thread, not per loop.
            _leave_task(outer, task)
        firstiter, finalizer = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(self._hold_generator, _leave_generator)
        _set_running_loop(self)
        self._turning = True

        def leave() -> None:
            self._turning = False
            _set_running_loop(outer)
            sys.set_asyncgen_hooks(firstiter, finalizer)
            if outer is not None and task is not None:
                _enter_task(outer, task)

        return leave

    def _drain(self) -> None:
        ready = self._ready
        left = self.max_callbacks
        while ready:
            handle = ready.popleft()
            if handle._cancelled:  # noqa: SLF001 - a method call per callback would show
                continue
            if not left:
                ready.appendleft(handle)
                raise EndlessTurn(self.max_callbacks)
            left -= 1
            try:
                handle._context.run(handle._callback, *handle._args)  # noqa: SLF001
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:  # noqa: BLE001 - as asyncio's own loop does
                self.call_exception_handler(
                    {"message": f"Exception in {handle!r}", "exception": error, "handle": handle}
                )

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> BodyHandle:
        """Make a callback ready."""
        handle = BodyHandle(callback, args, context)
        if self.shutting:
            handle.cancel()
        else:
            self._ready.append(handle)
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> BodyTimer:
        """Set a timer that is due `delay` seconds from now."""
        return self.call_at(self.now_ms / 1000 + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> BodyTimer:
        """Set a timer that is due when `time` reaches `when`, in seconds."""
        if math.isnan(when):
            raise ValueError("a timer can't be due at NaN")
        self._timer_numbers = number = self._timer_numbers + 1
        timer = BodyTimer(
            callback, args, context, when=when, since=self.now_ms, number=number, forget=self._forget_timer
        )
        if self.shutting:
            timer.cancel()
        else:
            self._timers[number] = timer
            heapq.heappush(self._heap, (when, number))
        return timer

    def _forget_timer(self, number: int) -> None:
        if self._timers.pop(number, None) is not None:
            self._sweep_heap()

    def _sweep_heap(self) -> None:
        if len(self._heap) > max(MIN_SWEEP, 2 * len(self._timers)):
            self._heap = [entry for entry in self._heap if entry[1] in self._timers]
            heapq.heapify(self._heap)

    def fire(self, number: int) -> None:
        """Make the timer's callback ready, whether or not it is due.

        Raises:
            KeyError: No timer with that number is waiting.

        """
        self._ready.append(self._timers.pop(number))
        self._sweep_heap()

    def sleeping(self) -> list[int]:
        """Return the numbers of the timers that end an `asyncio.sleep`, in the order of their setting."""
        return [number for number, timer in self._timers.items() if timer.sleeps]

    def since(self, number: int) -> int:
        """Return when a timer that is waiting was set, in milliseconds."""
        return self._timers[number].since

    def due(self, now_ms: int) -> int | None:
        """Return the number of the earliest timer that is due at `now_ms`, or None.

        Of timers for the same time the one with the lowest number is first.
        """
        earliest = self.next_due_ms()
        return None if earliest is None or earliest > now_ms else self._heap[0][1]

    def next_due_ms(self) -> int | None:
        """Return when the earliest timer is due, in whole milliseconds, or None.

        Rounded up. A timer for infinity is never due.
        """
        heap = self._heap
        while heap and heap[0][1] not in self._timers:
            heapq.heappop(heap)
        if not heap or heap[0][0] == math.inf:
            return None
        # Seconds since 1970 in a float are exact to a quarter of a microsecond.
        return math.ceil(round(max(heap[0][0], 0.0) * 1000, 3))

    def earliest(self) -> int | None:
        """Return the number of the earliest timer, or None."""
        return None if self.next_due_ms() is None else self._heap[0][1]

    def time(self) -> float:
        """Return `now_ms` in seconds."""
        return self.now_ms / 1000

    def create_future(self) -> BodyFuture[Any]:
        """Return a new future with the next number."""
        future: BodyFuture[Any] = BodyFuture(loop=self)
        self._numbers = future.number = self._numbers + 1
        return future

    def create_task(
        self,
        coro: Coro[T],
        *,
        name: str | None = None,
        context: Context | None = None,
        **_eager: Any,
    ) -> asyncio.Task[T]:
        """Return a new task with the next number; its first step is made ready, never run here."""
        given = given_to_as_completed(sys._getframe(1))  # noqa: SLF001
        if given is not None:
            return self._arrange(coro, given)
        self._numbers = number = self._numbers + 1
        task = BodyTask(coro, self, number, name or f"Task-{number - self._first}", context or copy_context())
        if self.shutting:
            close_coroutine(coro)
        else:
            self._tasks[number] = task
            if len(self._tasks) >= self._tasks_limit:
                self._tasks = {n: t for n, t in self._tasks.items() if not t.done()}
                self._tasks_limit = max(MIN_SWEEP, 2 * len(self._tasks))
        return task

    def _arrange(self, coro: Coro[T], given: Sequence[Any]) -> asyncio.Task[T]:
        """Return the task for one of several awaitables, started in the order given."""
        awaitable = wrapped_by_ensure_future(coro)
        if id(awaitable) not in self._arranged:
            self._arranged = {
                id(each): asyncio.ensure_future(each, loop=self)
                for each in dict.fromkeys(given)
                if not asyncio.isfuture(each)
            }
        if awaitable is not coro:
            coro.close()
        return cast("asyncio.Task[T]", self._arranged.pop(id(awaitable)))

    def unfinished(self) -> list[asyncio.Task[Any]]:
        """Return the tasks that haven't ended, in the order of their creation."""
        return [task for task in self._tasks.values() if not task.done()]

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep what nobody handled in `unhandled`: nothing is printed."""
        if not self.shutting and len(self.unhandled) < MAX_UNHANDLED:
            self.unhandled.append(context)

    default_exception_handler = call_exception_handler

    def _hold_generator(self, generator: Any) -> None:
        held = self._generators
        held.append(generator)
        if len(held) >= self._generators_limit:
            held[:] = [each for each in held if each.ag_frame is not None]
            self._generators_limit = max(MIN_SWEEP, 2 * len(held))

    def is_running(self) -> bool:
        """Tell whether a turn is under way."""
        return self._turning

    def is_closed(self) -> bool:
        """Tell whether the loop was shut."""
        return self.shutting

    def close(self) -> None:
        """Do as `shut`."""
        self.shut()

    def shut(self) -> None:
        """Close every unfinished task and generator, the youngest first, and the loop.

        Their ``finally`` blocks run; what they raise, await or schedule comes to
        nothing, and nothing is printed. `shutting` is true from here on.
        """
        if self.shutting:
            return
        leave = self._enter()
        self.shutting = True
        try:
            with silence():
                self._close_everything()
        finally:
            leave()

    def _close_everything(self) -> None:
        for task in reversed(self._tasks.values()):
            if not task.done():
                self._close_task(task)
        for generator in reversed(self._generators):
            close_generator(generator)
        self._ready.clear()
        self._timers.clear()
        self._heap.clear()
        self._tasks.clear()
        self._generators.clear()

    def _close_task(self, task: BodyTask[Any]) -> None:
        _enter_task(self, task)
        try:
            task.context.run(close_coroutine, task.get_coro())
        except RuntimeError:
            # The caller is inside this very context, which can't be entered twice.
            close_coroutine(task.get_coro())
        finally:
            _leave_task(self, task)


def _leave_generator(generator: Any) -> None:
    """Leave a generator that the loop no longer holds to be freed as it is."""
