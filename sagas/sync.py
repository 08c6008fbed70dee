"""The blocking door: the same coordinator for code that isn't async, on a loop in its own thread."""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import os
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import CancelledError, Future
from types import TracebackType
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    ParamSpec,
    Protocol,
    Self,
    TypeVar,
    TypeVarTuple,
    overload,
)

from amends.sagas.attributes import AttributeValue
from amends.sagas.coordinator import Coordinator
from amends.sagas.errors import CoordinatorClosed
from amends.sagas.handle import Run
from amends.sagas.joining import CALLER
from amends.sagas.operators import Acted, Operator
from amends.sagas.states import Status
from amends.sagas.watch import Change, Watch
from amends.tracing.identity import Trace

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine
    from sqlalchemy.orm import Session

    from amends.sagas.sync_queues import SyncQueues
    from amends.sagas.sync_schedules import SyncSchedules

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")
Ts = TypeVarTuple("Ts")


class LoopThread:
    """An event loop in a daemon thread; `call` runs a coroutine there and waits for what comes of it.

    `forked` tells that this process is a child of the one that has the thread: nothing runs there.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="amends-sync", daemon=True)
        self._thread.start()
        self._guard = threading.Lock()
        self._calls: set[Future[Any]] = set()
        self._closed = False
        self.forked = False
        _alive.add(self)

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and give its result, or raise its error.

        Raises `CoordinatorClosed` when the loop is closed, is closed meanwhile, or belongs to the process
        that this one was forked from.
        """
        try:
            self.check()
            with self._guard:
                self.check()
                caller = CALLER.set(threading.get_ident())
                future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
                CALLER.reset(caller)
                self._calls.add(future)
        except CoordinatorClosed:
            coroutine.close()
            raise
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise
        except CancelledError:
            self.check()
            raise
        finally:
            self._calls.discard(future)

    def check(self) -> None:
        """Raise `CoordinatorClosed` where nothing can be called any more."""
        if self.forked:
            raise CoordinatorClosed(
                "the coordinator was opened before this process was forked: open one in each process"
            )
        if self._closed:
            raise _not_open()

    def stop(self) -> None:
        """End the loop and its thread; who still waits for a call is told that it is closed."""
        if self.forked:
            return
        self.call(self._loop.shutdown_default_executor())
        with self._guard:
            self._closed = True
        for future in [*self._calls]:
            future.cancel()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _forget_all() -> None:
    for thread in list(_alive):
        thread.forked = True


_alive: weakref.WeakSet[LoopThread] = weakref.WeakSet()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


def _not_open() -> CoordinatorClosed:
    return CoordinatorClosed("the coordinator isn't open: use it inside `with Coordinator.sync(url) as ...:`")


class Door(Protocol):
    """A blocking twin: it stands before an object whose methods are coroutines."""

    def _reach(self) -> tuple[LoopThread, Any]:
        """Give the thread to block on, and the object. Raises `CoordinatorClosed`."""
        ...


class Blocking(Generic[P, T]):
    """The blocking twin of a coroutine method, with its parameters and its result: made from it, not written.

    >>> class SyncRun:
    ...     status = Blocking(Run.status)
    """

    def __init__(self, method: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]) -> None:
        self._method = method
        self.__doc__ = method.__doc__

    @overload
    def __get__(self, door: None, owner: type[Any]) -> Self: ...
    @overload
    def __get__(self, door: Door, owner: type[Any]) -> Callable[P, T]: ...
    def __get__(self, door: Door | None, owner: type[Any]) -> Any:
        if door is None:
            return self

        @functools.wraps(self._method)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            thread, behind = door._reach()  # noqa: SLF001 - of this module
            return thread.call(self._method(behind, *args, **kwargs))

        return call


class SyncRun(Generic[R]):
    """A handle on one run, with the methods of `Run`, blocking."""

    def __init__(self, thread: LoopThread, run: Run[R]) -> None:
        self._thread = thread
        self._run = run
        self.id = run.id

    def __repr__(self) -> str:
        return f"<SyncRun {self.id!r}>"

    def result(self, timeout: float | dt.timedelta | None = None) -> R:
        """Wait for the run's result; see `Run.result`."""
        return self._thread.call(self._run.result(timeout))

    def watch(self) -> SyncWatch:
        """Watch the run: `for` gives it as it is, then as it changes; see `Run.watch`."""
        return SyncWatch(self._thread, self._run.watch)

    status = Blocking(Run.status)
    cancel = Blocking(Run.cancel)
    wake_up = Blocking(Run.wake_up)
    journal = Blocking(Run.journal)
    export = Blocking(Run.export)
    left_standing = Blocking(Run.left_standing)
    trace_id = Blocking(Run.trace_id)
    audit = Blocking(Run.audit)

    def _reach(self) -> tuple[LoopThread, Run[R]]:
        return self._thread, self._run


class SyncWatch:
    """An iterator of changes, with what `Watch` gives, blocking."""

    def __init__(self, thread: LoopThread, watch: Callable[[], Watch]) -> None:
        async def begun() -> Watch:
            made = watch()
            await made.ready()
            return made

        self._thread = thread
        self._watch = thread.call(begun())

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Change:
        """Give the next change; block until there is one."""
        change = self._thread.call(self._next())
        if change is None:
            raise StopIteration
        return change

    async def _next(self) -> Change | None:
        return await anext(self._watch, None)


class SyncOperator:
    """One person's acts on runs, with the methods of `Operator`, blocking."""

    def __init__(self, thread: LoopThread, operator: Operator) -> None:
        self._thread = thread
        self._operator = operator
        self.by = operator.by

    retry = Blocking(Operator.retry)
    resolve = Blocking(Operator.resolve)
    skip = Blocking(Operator.skip)
    waive = Blocking(Operator.waive)
    resume = Blocking(Operator.resume)
    abort = Blocking(Operator.abort)
    undo = Blocking(Operator.undo)

    def for_each(self, act: Callable[[str], None], run_ids: list[str]) -> list[Acted]:
        """Do `act`, one of this operator's methods for whole runs, to each run; see `Operator.for_each`."""
        return self._thread.call(
            self._operator.for_each(lambda run_id: asyncio.to_thread(act, run_id), run_ids)
        )

    def _reach(self) -> tuple[LoopThread, Operator]:
        return self._thread, self._operator


class SyncCoordinator:
    """A coordinator for blocking code: a context manager with the methods of `Coordinator`, blocking.

    >>> with Coordinator.sync("sqlite:///orders.db") as coordinator:
    ...     receipt = coordinator.run(fulfil_order, order)
    """

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator
        self._thread: LoopThread | None = None

    def __enter__(self) -> Self:
        """Open the coordinator; raises what `Coordinator.__aenter__` raises."""
        thread = LoopThread()
        try:
            thread.call(self._coordinator.__aenter__())
        except BaseException:
            thread.stop()
            raise
        self._thread = thread
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the coordinator; no run is cancelled. In a forked child there is nothing to close."""
        thread, self._thread = self._thread, None
        if thread is not None and not thread.forked:
            try:
                thread.call(self._coordinator.__aexit__(kind, error, trace))
            finally:
                thread.stop()

    @property
    def engine(self) -> Engine:
        """The SQLAlchemy engine of the coordinator's database."""
        self._open()
        return self._coordinator.engine

    def start(
        self,
        saga: Callable[[*Ts], Awaitable[R]],
        *args: *Ts,
        id: str | None = None,
        connection: Connection | Session | None = None,
        trace: Trace | None = None,
        priority: int = 0,
    ) -> SyncRun[R]:
        """Start a run, durably; see `Coordinator.start`. `connection` isn't an async one."""
        thread = self._open()
        started = self._coordinator.start(
            saga, *args, id=id, connection=connection, trace=trace, priority=priority
        )
        return SyncRun(thread, thread.call(started))

    def signal_or_start(
        self,
        saga: Callable[[*Ts], Awaitable[R]],
        *args: *Ts,
        id: str,
        name: str,
        payload: Any = None,
        message_id: str | None = None,
        connection: Connection | Session | None = None,
    ) -> SyncRun[R]:
        """Send a signal, and start the run where there is none; see `Coordinator.signal_or_start`."""
        thread = self._open()
        sent = self._coordinator.signal_or_start(
            saga, *args, id=id, name=name, payload=payload, message_id=message_id, connection=connection
        )
        return SyncRun(thread, thread.call(sent))

    def run(
        self,
        saga: Callable[[*Ts], Awaitable[R]],
        *args: *Ts,
        id: str | None = None,
    ) -> R:
        """Start a run, wait for its end and give its result; raises what `start` and `result` raise."""
        return self.start(saga, *args, id=id).result()

    def get(self, id: str) -> SyncRun[Any]:
        """Give a run by its id; see `Coordinator.get`."""
        thread = self._open()
        return SyncRun(thread, thread.call(self._coordinator.get(id)))

    def watch(
        self,
        *,
        status: Status | str | None = None,
        saga: str | None = None,
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> SyncWatch:
        """Watch runs: `for` gives each change of theirs from now on; see `Coordinator.watch`."""
        watch = functools.partial(self._coordinator.watch, status=status, saga=saga, attributes=attributes)
        return SyncWatch(self._open(), watch)

    @property
    def schedules(self) -> SyncSchedules:
        """The schedules of the coordinator's database; see `Coordinator.schedules`."""
        from amends.sagas.sync_schedules import SyncSchedules  # noqa: PLC0415 - it is made from this module

        return SyncSchedules(self._open(), self._coordinator.schedules)

    @property
    def queues(self) -> SyncQueues:
        """The queues of the coordinator's database; see `Coordinator.queues`."""
        from amends.sagas.sync_queues import SyncQueues  # noqa: PLC0415 - it is made from this module

        return SyncQueues(self._open(), self._coordinator.queues)

    def operator(self, by: str, *, dry_run: bool = False) -> SyncOperator:
        """Give what a person may do about runs that need one; see `Coordinator.operator`."""
        return SyncOperator(self._open(), self._coordinator.operator(by, dry_run=dry_run))

    list = Blocking(Coordinator.list)
    signal = Blocking(Coordinator.signal)
    approvals = Blocking(Coordinator.approvals)
    approval = Blocking(Coordinator.approval)
    decide = Blocking(Coordinator.decide)
    cancel = Blocking(Coordinator.cancel)
    wake_up = Blocking(Coordinator.wake_up)
    undo = Blocking(Coordinator.undo)
    undo_plan = Blocking(Coordinator.undo_plan)
    owed = Blocking(Coordinator.owed)
    workers = Blocking(Coordinator.workers)
    health = Blocking(Coordinator.health)
    gc = Blocking(Coordinator.gc)
    run_until_idle = Blocking(Coordinator.run_until_idle)

    def _reach(self) -> tuple[LoopThread, Coordinator]:
        return self._open(), self._coordinator

    def _open(self) -> LoopThread:
        if self._thread is None:
            raise _not_open()
        self._thread.check()
        return self._thread
