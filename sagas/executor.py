"""Calling steps and compensations: on the event loop or in threads, with time-outs."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from amends.sagas.body import too_large
from amends.sagas.context import BODY, STEP, CurrentStep, begin_attempt
from amends.sagas.deadlines import Deadlines
from amends.sagas.errors import AmendsError, NoEffect, ResultInvalid, StepFailed, StepTimeout
from amends.sagas.failure import describe
from amends.sagas.news import Attempt, Attempted, Beat
from amends.sagas.outcome import Effect, Landed, NotLanded, Outcome
from amends.sagas.pulse import Pulse
from amends.sagas.registry import HANDLERS, STEPS
from amends.sagas.step import Compensation, Probe, Step, Undo

LEASE_POLL = 0.05
"""Seconds between two looks at a lease that can't be renewed just now."""

Called = Step[..., Any] | Compensation[Any] | Probe | None
Found = tuple[Outcome, bytes | None, BaseException | None]
Report = Callable[[str, Attempted | Beat], None]


@dataclass(frozen=True, slots=True)
class Settings:
    """What an executor needs to know: the object for `resources`, and its bounds."""

    resources: Any
    max_steps: int
    threads: int
    max_payload: int


class Executor:
    """Executes attempts and reports what came of each, exactly once, on the loop that it was made on.

    At most `max_steps` attempts are under way; the rest wait in order. An attempt only starts while
    `lease_good()` holds, and not at all after `revoke()`: a worker that was fenced must not touch the world.
    """

    def __init__(
        self, settings: Settings, *, now: Callable[[], int], lease_good: Callable[[], bool], report: Report
    ) -> None:
        self._settings = settings
        self._now = now
        self._lease_good = lease_good
        self._report = report
        self._generation = 0
        self._closed = False
        self._deadlines = Deadlines(asyncio.get_running_loop())
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
        self._context.run(BODY.set, None)
        self._tasks: dict[asyncio.Task[Attempted | None], Attempt] = {}
        self._waiting: deque[Attempt] = deque()
        self._pool = ThreadPoolExecutor(settings.threads, thread_name_prefix="amends-step")

    @property
    def under_way(self) -> int:
        """How many attempts are being executed or wait for a place."""
        return len(self._tasks) + len(self._waiting)

    def start(self, attempt: Attempt) -> None:
        """Execute an attempt, as soon as there is a place for it."""
        if len(self._tasks) >= self._settings.max_steps:
            self._waiting.append(attempt)
        else:
            self._begin(attempt)

    def revoke(self) -> None:
        """Drop the attempts that have not started: the lease is lost, or the worker is closing."""
        self._waiting.clear()
        self._generation += 1

    async def drain(self, seconds: float) -> list[tuple[str, int, bool]]:
        """Wait until nothing is under way, at most so long.

        Gives what was stopped then and is reported by nobody: run, number, whether it is a compensation.
        """
        self.revoke()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=seconds)
        stopped = [(attempt.run_id, attempt.ref, attempt.undoing) for attempt in self._tasks.values()]
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=1)
        self._closed = True
        self._deadlines.close()
        self._pool.shutdown(wait=False, cancel_futures=True)
        return stopped

    def _begin(self, attempt: Attempt) -> None:
        doing = self._execute(attempt, self._generation)
        task = self._loop.create_task(doing, context=self._context.copy())
        self._tasks[task] = attempt
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Attempted | None]) -> None:
        """Report from here and not from the task, so that the run can make its turn at once."""
        attempt = self._tasks.pop(task)
        self._deadlines.expired(task)
        if not task.cancelled() and task.exception() is None and (news := task.result()) is not None:
            self._report(attempt.run_id, news)
        if self._waiting and len(self._tasks) < self._settings.max_steps:
            self._begin(self._waiting.popleft())

    async def _execute(self, attempt: Attempt, generation: int) -> Attempted | None:
        while not self._lease_good():  # noqa: ASYNC110 - the writer's thread renews it
            await asyncio.sleep(LEASE_POLL)
        if generation != self._generation:
            return None
        begin_attempt(attempt.timeout_ms / 1000)
        started = self._now()
        called = _called(attempt)
        pulse = self._pulse(called, attempt)
        try:
            outcome, result, error = await self._outcome(called, attempt, started, pulse)
        except asyncio.CancelledError:
            return None
        found = self._attempted(attempt, started, outcome, result, error)
        found.details = pulse.newest
        return found

    async def _outcome(self, called: Called, attempt: Attempt, started: int, pulse: Pulse) -> Found:
        try:
            call = _prepare(called, attempt)
        except AmendsError as error:
            return Outcome.NOT_LANDED, None, error
        STEP.set(self._current(called, attempt, started, pulse))
        task = asyncio.current_task()
        if task is not None:
            pulse.watch(task)
        try:
            if called is None or not called.is_async:
                return self._landed(called, await self._in_thread(call, attempt, started))
            if task is not None:
                self._deadlines.watch(task, attempt.timeout_ms / 1000)
            made = call()
            return self._landed(called, await made if inspect.isawaitable(made) else made)
        except asyncio.CancelledError as error:
            return Outcome.UNKNOWN, None, self._why_cancelled(attempt, pulse, error)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a step raises is its outcome
            return _failed(called, error), None, error
        finally:
            pulse.close()

    def _why_cancelled(self, attempt: Attempt, pulse: Pulse, error: asyncio.CancelledError) -> BaseException:
        """Tell a time-out from an error of the step's own; a shutdown goes on as the cancellation it is."""
        task = asyncio.current_task()
        if task is None or task.cancelling() == 0:
            return StepFailed("the step cancelled itself", type="asyncio.exceptions:CancelledError")
        expired = self._deadlines.expired(task)
        if expired or pulse.silent:
            task.uncancel()
            return _timed_out(attempt) if expired else _fell_silent(attempt)
        raise error

    def _pulse(self, called: Called, attempt: Attempt) -> Pulse:
        allowed = called.options.heartbeat if isinstance(called, Step) else None
        report = functools.partial(self._report, attempt.run_id)
        return Pulse(
            self._loop,
            None if allowed is None else allowed.total_seconds(),
            lambda details: report(Beat(attempt.ref, attempt.attempt, details)),
        )

    async def _in_thread(self, call: Callable[[], Any], attempt: Attempt, started: int) -> Any:
        """Run a sync function in a thread; one that outlives its time-out is reported again when it ends."""
        future = self._loop.run_in_executor(self._pool, functools.partial(copy_context().run, call))
        late = functools.partial(self._late, attempt, started)
        try:
            done, _ = await asyncio.wait((future,), timeout=attempt.timeout_ms / 1000)
        except asyncio.CancelledError:
            future.add_done_callback(late)
            raise
        if done:
            return future.result()
        future.add_done_callback(late)
        raise _timed_out(attempt)

    def _late(self, attempt: Attempt, started: int, future: asyncio.Future[Any]) -> None:
        unheard = attempt.undoing or attempt.probing
        if self._closed or future.cancelled() or future.exception() is not None or unheard:
            return
        outcome, result, error = self._landed(STEPS.get(attempt.name), future.result())
        self._report(attempt.run_id, self._attempted(attempt, started, outcome, result, error))

    def _attempted(
        self,
        attempt: Attempt,
        started: int,
        outcome: Outcome,
        result: bytes | None,
        error: BaseException | None,
    ) -> Attempted:
        encoded = None if error is None else describe(error).to_json()
        called = STEPS.get(attempt.name)
        return Attempted(
            attempt.ref,
            attempt.attempt,
            attempt.undoing,
            outcome,
            started,
            self._now(),
            result,
            encoded,
            error,
            not attempt.undoing and called is not None and called.effect is Effect.READ,
            attempt.probing,
        )

    def _landed(self, called: Called, result: Any) -> Found:
        if isinstance(called, Probe):
            return self._found(called, result)
        if not isinstance(called, Step):
            return Outcome.LANDED, None, None
        try:
            encoded = called.result.checked(result)
        except (ValueError, AmendsError) as problem:
            error = ResultInvalid(
                f"step {called.name!r}: its result doesn't fit its annotation, although its effect has "
                f"landed: {problem}"
            )
            return Outcome.LANDED, None, error
        if len(encoded) > self._settings.max_payload:
            what = f"step {called.name!r}: its result"
            return Outcome.LANDED, None, too_large(what, len(encoded), self._settings.max_payload)
        return Outcome.LANDED, encoded, None

    def _found(self, probe: Probe, answer: Any) -> Found:
        """Take a probe's answer; one that is none leaves the outcome unknown."""
        if isinstance(answer, NotLanded):
            return Outcome.NOT_LANDED, None, NoEffect(answer.evidence)
        if isinstance(answer, Landed):
            outcome, result, error = self._landed(probe.step, answer.result)
            return (outcome if error is None else Outcome.UNKNOWN), result, error
        told = TypeError(
            f"the probe of step {probe.name!r} answers {answer!r}, not Landed(...) or NotLanded()"
        )
        return Outcome.UNKNOWN, None, told

    def _current(self, called: Called, attempt: Attempt, started: int, pulse: Pulse) -> CurrentStep:
        return CurrentStep(
            attempt.run_id,
            attempt.name if called is None else called.name,
            attempt.attempt,
            attempt.key,
            started + attempt.timeout_ms,
            self._settings.resources,
            None if attempt.details is None else from_json(attempt.details),
            pulse.beat,
        )


def _called(attempt: Attempt) -> Called:
    if attempt.handler is not None:
        return HANDLERS.get(attempt.handler)
    step = STEPS.get(attempt.name)
    return step.probe if step is not None and attempt.probing else step


def _prepare(called: Called, attempt: Attempt) -> Callable[[], Any]:
    if called is None:
        raise NoEffect(f"{attempt.handler or attempt.name!r} isn't defined in this process")
    if isinstance(called, Step | Probe):
        known = called if isinstance(called, Step) else called.step
        return functools.partial(known.arguments.call, called.fn, known.arguments.decode(attempt.arguments))
    values = called.step.arguments.decode(attempt.arguments)
    return functools.partial(called.call, _undo(called, attempt), values)


def _undo(called: Compensation[Any], attempt: Attempt) -> Undo[Any]:
    result = None
    if attempt.result is not None:
        try:
            result = called.step.result.decode(attempt.result)
        except ValueError as error:
            raise ResultInvalid(
                f"the recorded result of {called.step.name!r} doesn't fit its annotation: {error}"
            ) from error
    return Undo(result, attempt.outcome, attempt.cause, attempt.forward_key, attempt.key)


def _failed(called: Called, error: BaseException) -> Outcome:
    if isinstance(called, Probe):
        return Outcome.UNKNOWN
    declared = called.options.no_effect if isinstance(called, Step) else ()
    return Outcome.NOT_LANDED if isinstance(error, (NoEffect, *declared)) else Outcome.UNKNOWN


def _timed_out(attempt: Attempt) -> StepTimeout:
    seconds = attempt.timeout_ms / 1000
    return StepTimeout(f"attempt {attempt.attempt} of {attempt.name!r} took longer than {seconds:g} s")


def _fell_silent(attempt: Attempt) -> StepTimeout:
    return StepTimeout(f"attempt {attempt.attempt} of {attempt.name!r} gave no sign of life in time")
