"""Calling steps, probes and compensations: on the event loop or in threads, with time-outs."""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.context import attach
from opentelemetry.trace import set_span_in_context
from pydantic_core import from_json

from amends.sagas.approval_links import LINKS, ApprovalLinks
from amends.sagas.blocked import BlockedLoop
from amends.sagas.calling import Found, called_for, failed, landed, prepared
from amends.sagas.context import STEP, UNDOING, CurrentStep, begin_attempt
from amends.sagas.deadlines import Deadlines
from amends.sagas.errors import StepFailed
from amends.sagas.flight import Flight, fell_silent, outcome_of, stopped, timed_out
from amends.sagas.interrupts import may_be_ctrl_c
from amends.sagas.news import Attempt, Attempted, Beat, Key, Noted
from amends.sagas.notes import Notebook, Notes
from amends.sagas.notifier import NOTIFIERS, Notifier
from amends.sagas.outcome import Outcome
from amends.sagas.pulse import Pulse
from amends.sagas.room import Room
from amends.sagas.step import Step
from amends.sagas.transacting import transacting
from amends.sagas.webhook_urls import CONFIGURED, Webhooks
from amends.tracing.attempt_span import AttemptSpan

LEASE_POLL = 0.05
"""Seconds between two looks at a lease that can't be renewed just now."""
PATIENCE = 2.0
"""Seconds that an attempt has to end after it was cancelled; then it is given up, and heard of late."""

Report = Callable[[str, Attempted | Beat | Noted], None]


@dataclass(frozen=True, slots=True)
class Settings:
    """What an executor needs to know: the object for `resources`, bounds, where webhooks lead, who tells."""

    resources: Any
    max_steps: int
    threads: int
    max_payload: int
    webhooks: Webhooks | None = None
    notifiers: Mapping[str, Notifier] = field(default_factory=dict)
    approval_links: ApprovalLinks | None = None


class Executor:
    """Executes attempts and reports what came of each, exactly once, on the loop that it was made on.

    At most `max_steps` attempts are under way, and at most `threads` of them in threads; the rest wait in
    order. An attempt only starts while `lease_good()` holds, and not at all after `revoke()`: a worker that
    was fenced must not touch the world. One that outlives its time-out is reported once more when it ends.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        now: Callable[[], int],
        lease_good: Callable[[], bool],
        report: Report,
        room: Room | None = None,
    ) -> None:
        self._settings = settings
        self._room = room
        self._now = now
        self._lease_good = lease_good
        self._report = report
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._deadlines = Deadlines(self._loop, self._stop)
        self._context = copy_context()
        self._context.run(CONFIGURED.set, settings.webhooks)
        self._context.run(NOTIFIERS.set, settings.notifiers)
        self._context.run(LINKS.set, settings.approval_links)
        self._flights: dict[asyncio.Task[Found | None], Flight] = {}
        self._waiting: deque[Flight] = deque()
        self._for_threads: deque[Flight] = deque()
        self._threads = 0
        self._cut: list[Flight] = []
        self._pool = ThreadPoolExecutor(settings.threads, thread_name_prefix="amends-step")
        self._blocked = BlockedLoop(self.executing)

    def executing(self, task: asyncio.Task[Any]) -> Attempt | None:
        """Give the attempt that a task executes, if it does."""
        flight = self._flights.get(task)
        return None if flight is None else flight.attempt

    def start(self, attempt: Attempt, span: AttemptSpan | None = None) -> None:
        """Execute an attempt, as soon as there is a place for it, under its span."""
        called = called_for(attempt)
        flight = Flight(attempt, called, thread=called is not None and not called.is_async, span=span)
        if flight.thread and self._threads >= self._settings.threads:
            self._for_threads.append(flight)
        elif len(self._flights) >= self._settings.max_steps:
            self._waiting.append(flight)
        else:
            self._begin(flight)

    def revoke(self, keep: Collection[str] = ()) -> None:
        """Drop what has not started, but for the runs in `keep`: the lease is lost, or the worker closes."""
        for queue in (self._waiting, self._for_threads):
            kept = [flight for flight in queue if flight.attempt.run_id in keep]
            queue.clear()
            queue.extend(kept)
        for flight in self._flights.values():
            flight.revoked = flight.revoked or flight.attempt.run_id not in keep

    async def drain(self, seconds: float) -> list[Key]:
        """Wait until nothing is under way, at most so long.

        Gives what was stopped, then or shortly before, and is reported by nobody.
        """
        self.revoke()
        if self._flights:
            await asyncio.wait(set(self._flights), timeout=seconds)
        self._closed = True
        stopped = [flight for flight in self._flights.values() if flight.started is not None]
        for task in list(self._flights):
            task.cancel()
        if self._flights:
            await asyncio.wait(set(self._flights), timeout=1)
        self._deadlines.close()
        self._blocked.close()
        self._pool.shutdown(wait=False, cancel_futures=True)
        return [flight.key for flight in dict.fromkeys([*self._cut, *stopped]) if not flight.told]

    def _begin(self, flight: Flight) -> None:
        task = self._loop.create_task(self._execute(flight), context=self._context.copy())
        self._threads += flight.thread
        self._flights[task] = flight
        task.add_done_callback(self._done)

    def _fill(self) -> None:
        """Begin what waits for a place that has become free."""
        while len(self._flights) < self._settings.max_steps:
            free = self._threads < self._settings.threads
            if self._for_threads and free:
                self._begin(self._for_threads.popleft())
            elif self._waiting:
                flight = self._waiting.popleft()
                if flight.thread and not free:
                    self._for_threads.append(flight)
                else:
                    self._begin(flight)
            else:
                return

    def _done(self, task: asyncio.Task[Found | None]) -> None:
        """Report from here and not from the task, so that the run can make its turn at once."""
        flight = self._flights.pop(task)
        self._deadlines.expired(task)
        self._leave_thread(flight)
        if task.cancelled() or task.exception() is not None:
            self._cut_short(flight)
        elif (found := task.result()) is not None:
            self._tell(flight, found)
        if self._waiting or self._for_threads:
            self._fill()

    def _tell(self, flight: Flight, found: Found, details: bytes | None = None) -> None:
        """Report an outcome; behind a time-out that was reported already it comes late, if it is of use."""
        attempt = flight.attempt
        unheard = attempt.undoing or attempt.probing or found[0] is not Outcome.LANDED
        if flight.told and (unheard or self._closed):
            return
        flight.told = True
        self._report(flight.attempt.run_id, outcome_of(flight, found, self._now(), details))

    def _cut_short(self, flight: Flight) -> None:
        """Keep what somebody else has cancelled for `drain`: the application is ending, as a rule."""
        if flight.started is None or flight.told:
            return
        self._cut.append(flight)
        if not self._closed:
            self._loop.call_later(PATIENCE, self._nobody_closes, flight)

    def _nobody_closes(self, flight: Flight) -> None:
        if self._closed or flight.told:
            return
        self._cut.remove(flight)
        error = StepFailed("the step was cancelled", type="asyncio.exceptions:CancelledError")
        self._tell(flight, (Outcome.UNKNOWN, None, error))

    def _stop(self, task: asyncio.Task[Any]) -> None:
        """Cancel an attempt that is over its time; it has a while to end."""
        task.cancel()
        self._loop.call_later(PATIENCE, self._give_up, task)

    def _give_up(self, task: asyncio.Task[Found | None]) -> None:
        flight = self._flights.get(task)
        if flight is not None and not flight.told and not self._closed:
            self._tell(flight, stopped(flight, timed_out(flight.attempt)))

    async def _execute(self, flight: Flight) -> Found | None:
        while not self._lease_good() and not flight.revoked:  # noqa: ASYNC110 - the writer's thread renews it
            await asyncio.sleep(LEASE_POLL)
        if flight.revoked:
            return None
        if flight.span is not None:
            # The context is the attempt's own: it ends with it.
            attach(set_span_in_context(flight.span))
        try:
            call = self._prepared(flight)
        except Exception as error:  # noqa: BLE001 - decoding runs the application's types; nothing was sent
            return Outcome.NOT_LANDED, None, error
        try:
            if flight.work is None or self._room is None:
                found = await self._found(flight, call)
            else:
                async with self._room.places:
                    found = await self._found(flight, call)
        finally:
            if flight.pulse is not None:
                flight.pulse.close()
        pulse = flight.pulse
        if pulse is not None and pulse.newest is not None and found is not None and not flight.told:
            self._tell(flight, found, pulse.newest)
            return None
        return found

    def _prepared(self, flight: Flight) -> Callable[[], Any]:
        """Give what is called; for a transaction that is the whole of it."""
        flight.work = work = transacting(
            self._room, flight.called, flight.attempt, self._settings.max_payload
        )
        if work is None:
            return prepared(flight.called, flight.attempt)
        return work.run if flight.thread else work.run_async

    async def _found(self, flight: Flight, call: Callable[[], Any]) -> Found | None:
        if flight.revoked:
            return None
        called, attempt, task = flight.called, flight.attempt, asyncio.current_task()
        flight.started = self._now()
        begin_attempt(attempt.timeout_ms / 1000)
        STEP.set(self._current(flight))
        if attempt.undoing and called is not None:
            UNDOING.set(called.name)
        if task is not None and isinstance(called, Step) and called.options.heartbeat is not None:
            self._pulse(flight).watch(task)
        try:
            if flight.thread:
                return await self._in_thread(flight, call)
            if task is not None:
                self._deadlines.watch(task, attempt.timeout_ms / 1000)
            made = call()
            result = await made if inspect.isawaitable(made) else made
            return self._landed(flight, result)
        except asyncio.CancelledError as error:
            return stopped(flight, self._why_cancelled(flight, error))
        except KeyboardInterrupt as error:
            if may_be_ctrl_c():
                raise
            return failed(called, error)
        except BaseException as error:  # noqa: BLE001 - whatever a step raises is its outcome
            return failed(called, error)

    def _why_cancelled(self, flight: Flight, error: asyncio.CancelledError) -> BaseException:
        """Tell a time-out from an error of the step's own; what else was cancelled goes on as that."""
        task = asyncio.current_task()
        if task is None or task.cancelling() == 0:
            return StepFailed("the step cancelled itself", type="asyncio.exceptions:CancelledError")
        expired = self._deadlines.expired(task)
        if expired or (flight.pulse is not None and flight.pulse.silent):
            task.uncancel()
            return timed_out(flight.attempt) if expired else fell_silent(flight.attempt)
        raise error

    async def _in_thread(self, flight: Flight, call: Callable[[], Any]) -> Found | None:
        """Run a sync function in a thread; one that outlives its time-out is heard again when it ends."""
        inside = functools.partial(copy_context().run, self._guarded, flight, call)
        future = self._loop.run_in_executor(self._pool, inside)
        future.add_done_callback(self._thread_ended)
        flight.thread = False
        late = functools.partial(self._late, flight)
        try:
            done, _ = await asyncio.wait((future,), timeout=flight.attempt.timeout_ms / 1000)
        except asyncio.CancelledError:
            future.add_done_callback(late)
            raise
        if done:
            return future.result()
        future.add_done_callback(late)
        return stopped(flight, timed_out(flight.attempt))

    def _landed(self, flight: Flight, result: Any) -> Found:
        """Take what a call returned; a transaction tells all of it itself."""
        found: Found = (
            landed(flight.called, result, limit=self._settings.max_payload) if flight.work is None else result
        )
        return found

    def _guarded(self, flight: Flight, call: Callable[[], Any]) -> Found | None:
        """Call in the thread, unless it must not start any more; whatever it raises is its outcome."""
        while not (flight.revoked or flight.told or self._lease_good()):
            time.sleep(LEASE_POLL)
        if flight.revoked or flight.told:
            return None
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001 - as above; a future can't carry every exception
            return failed(flight.called, error)
        return self._landed(flight, result)

    def _thread_ended(self, _future: asyncio.Future[Found | None]) -> None:
        self._threads -= 1
        if self._waiting or self._for_threads:
            self._fill()

    def _leave_thread(self, flight: Flight) -> None:
        """Give back the place of an attempt that never came to its thread."""
        if flight.thread:
            flight.thread = False
            self._threads -= 1

    def _late(self, flight: Flight, future: asyncio.Future[Found | None]) -> None:
        if not self._closed and not future.cancelled() and (found := future.result()) is not None:
            self._tell(flight, found)

    def _beat(self, flight: Flight, details: Any) -> None:
        """Take a heartbeat, from any thread."""
        self._pulse(flight).beat(details)

    def _noted(self, flight: Flight, notes: Notes) -> None:
        attempt = flight.attempt
        if not (flight.told or self._closed):
            self._report(attempt.run_id, Noted(attempt.ref, attempt.attempt, attempt.undoing, notes))

    def _pulse(self, flight: Flight) -> Pulse:
        """Give what hears an attempt's heartbeats; most attempts have none, and cost none."""
        if flight.pulse is not None:
            return flight.pulse
        called, attempt = flight.called, flight.attempt
        allowed = called.options.heartbeat if isinstance(called, Step) else None
        flight.pulse = Pulse(
            self._loop,
            None if allowed is None else allowed.total_seconds(),
            self._stop,
            lambda details: self._report(attempt.run_id, Beat(attempt.ref, attempt.attempt, details)),
        )
        return flight.pulse

    def _current(self, flight: Flight) -> CurrentStep:
        attempt = flight.attempt
        flight.notebook = Notebook(self._loop, attempt.known, functools.partial(self._noted, flight))
        return CurrentStep(
            attempt.run_id,
            attempt.name if flight.called is None else flight.called.name,
            attempt.attempt,
            attempt.key,
            (flight.started or 0) + attempt.timeout_ms,
            self._settings.resources,
            None if attempt.details is None else from_json(attempt.details),
            functools.partial(self._beat, flight),
            flight.notebook.add,
            None if flight.work is None else flight.work.outbox,
            attempt.beside,
        )
