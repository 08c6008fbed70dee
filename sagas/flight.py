"""One attempt on its way, and what is reported of it."""

from __future__ import annotations

from dataclasses import dataclass

from amends.sagas.calling import Called, Found, failed
from amends.sagas.errors import StepTimeout
from amends.sagas.failure import describe
from amends.sagas.news import Attempt, Attempted, Key
from amends.sagas.notes import Notebook
from amends.sagas.outcome import Effect, Outcome
from amends.sagas.pulse import Pulse
from amends.sagas.step import Step
from amends.sagas.transacting import Transacting
from amends.tracing.attempt_span import AttemptSpan


@dataclass(slots=True, eq=False)
class Flight:
    """One attempt on its way: what is called, since when, and what has become of it.

    `thread` tells that it holds a place in the pool; `told` that its outcome was reported. `span` is what
    hangs what it calls into the run's trace.
    """

    attempt: Attempt
    called: Called
    thread: bool = False
    revoked: bool = False
    started: int | None = None
    told: bool = False
    pulse: Pulse | None = None
    notebook: Notebook | None = None
    work: Transacting | None = None
    span: AttemptSpan | None = None

    @property
    def key(self) -> Key:
        """Which attempt it is: run, number, whether it is the compensation."""
        return self.attempt.run_id, self.attempt.ref, self.attempt.undoing


def outcome_of(flight: Flight, found: Found, now: int, details: bytes | None) -> Attempted:
    """Give the report of an attempt that has ended, with what it has said and nobody was told yet."""
    outcome, result, error = found
    attempt, called, work = flight.attempt, flight.called, flight.work
    started = now if flight.started is None else flight.started
    # A transaction that landed is dated by its beginning: from then on its key keeps others waiting.
    dated = work is not None and outcome is Outcome.LANDED
    return Attempted(
        attempt.ref,
        attempt.attempt,
        attempt.undoing,
        outcome,
        started,
        started if dated else now,
        result,
        None if error is None else describe(error).to_json(),
        error,
        isinstance(called, Step) and called.effect is Effect.READ,
        attempt.probing,
        details,
        None if flight.notebook is None else flight.notebook.take(),
        rolled_back=work is not None and outcome is Outcome.NOT_LANDED and not work.answered,
        settled=work is not None and outcome is Outcome.NOT_LANDED and work.settled,
        said=None if flight.span is None else flight.span.said(),
    )


def stopped(flight: Flight, error: BaseException) -> Found:
    """Tell what it means that an attempt was stopped: a transaction can't commit any more."""
    return failed(flight.called, error) if flight.work is None else flight.work.stopped(error)


def timed_out(attempt: Attempt) -> StepTimeout:
    """Make the error of an attempt that took too long."""
    seconds = attempt.timeout_ms / 1000
    return StepTimeout(f"attempt {attempt.attempt} of {attempt.name!r} took longer than {seconds:g} s")


def fell_silent(attempt: Attempt) -> StepTimeout:
    """Make the error of an attempt that gave no sign of life."""
    return StepTimeout(f"attempt {attempt.attempt} of {attempt.name!r} gave no sign of life in time")
