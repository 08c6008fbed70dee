"""The blocking door: the same coordinator for code that isn't async, on a loop in its own thread."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import CancelledError, Future
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, TypeVarTuple

from amends.sagas.errors import CoordinatorClosed
from amends.sagas.handle import Run, RunInfo, Standing
from amends.sagas.journal import Entry
from amends.sagas.states import Status

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from amends.sagas.coordinator import Coordinator

T = TypeVar("T")
R = TypeVar("R")
Ts = TypeVarTuple("Ts")

Infos = list[RunInfo]


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
                future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
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

    def status(self) -> Status:
        """Give the run's status; see `Run.status`."""
        return self._thread.call(self._run.status())

    def cancel(self, reason: str | None = None) -> None:
        """Ask the run to stop and undo what it has done; see `Run.cancel`."""
        self._thread.call(self._run.cancel(reason))

    def journal(self) -> list[Entry]:
        """Give the run's journal so far; see `Run.journal`."""
        return self._thread.call(self._run.journal())

    def left_standing(self) -> list[Standing]:
        """Give the effects that stay in the world; see `Run.left_standing`."""
        return self._thread.call(self._run.left_standing())


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
    ) -> SyncRun[R]:
        """Start a run, durably; see `Coordinator.start`."""
        thread = self._open()
        return SyncRun(thread, thread.call(self._coordinator.start(saga, *args, id=id)))

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

    def list(
        self,
        *,
        status: Status | str | None = None,
        saga: str | None = None,
        since: dt.datetime | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> Infos:
        """List runs, newest first; see `Coordinator.list`."""
        return self._open().call(
            self._coordinator.list(status=status, saga=saga, since=since, limit=limit, after=after)
        )

    def cancel(self, run_id: str, *, reason: str | None = None, by: str = "api") -> None:
        """Ask a run to stop and undo what it has done; see `Coordinator.cancel`."""
        self._open().call(self._coordinator.cancel(run_id, reason=reason, by=by))

    def run_until_idle(self) -> dt.datetime | None:
        """Drive everything that is due now; see `Coordinator.run_until_idle`."""
        return self._open().call(self._coordinator.run_until_idle())

    def _open(self) -> LoopThread:
        if self._thread is None:
            raise _not_open()
        self._thread.check()
        return self._thread
