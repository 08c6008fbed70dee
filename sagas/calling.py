"""What is called for an attempt, with which arguments, and what its answer means."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from amends.sagas.body import too_large
from amends.sagas.errors import AmendsError, NoEffect, ResultInvalid
from amends.sagas.news import Attempt
from amends.sagas.outcome import Landed, NotLanded, Outcome
from amends.sagas.registry import HANDLERS, STEPS
from amends.sagas.step import Compensation, Probe, Step, Undo

Called = Step[..., Any] | Compensation[Any] | Probe | None
Found = tuple[Outcome, bytes | None, BaseException | None]
"""An outcome, the result as JSON, and the error."""


def called_for(attempt: Attempt) -> Called:
    """Find what an attempt calls: the step, its probe or its compensation; None where it isn't defined."""
    if attempt.handler is not None:
        return HANDLERS.get(attempt.handler)
    step = STEPS.get(attempt.name)
    return step.probe if step is not None and attempt.probing else step


def prepared(called: Called, attempt: Attempt, *given: Any) -> Callable[[], Any]:
    """Give the call with what it is `given` and its recorded arguments.

    Raises what decoding them raises, or `NoEffect`.
    """
    if called is None:
        raise NoEffect(f"{attempt.handler or attempt.name!r} isn't defined in this process")
    if isinstance(called, Step | Probe):
        known = called if isinstance(called, Step) else called.step
        values = known.arguments.decode(attempt.arguments)
        return functools.partial(known.arguments.call, called.fn, values, *given)
    values = called.step.arguments.decode(attempt.arguments)
    return functools.partial(called.call, _undo(called, attempt), values, *given)


def landed(called: Called, result: Any, *, limit: int) -> Found:
    """Take what a call returned: a step's result, encoded, or a probe's answer."""
    if isinstance(called, Probe):
        return _found(called, result, limit)
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
    if len(encoded) > limit:
        return Outcome.LANDED, None, too_large(f"step {called.name!r}: its result", len(encoded), limit)
    return Outcome.LANDED, encoded, None


def failed(called: Called, error: BaseException) -> Found:
    """Take what a call raised: only a declared error is evidence that nothing happened (S2)."""
    if isinstance(called, Probe):
        return Outcome.UNKNOWN, None, error
    declared = called.options.no_effect if isinstance(called, Step) else ()
    outcome = Outcome.NOT_LANDED if isinstance(error, (NoEffect, *declared)) else Outcome.UNKNOWN
    return outcome, None, error


def _found(probe: Probe, answer: Any, limit: int) -> Found:
    """Take a probe's answer; one that is none leaves the outcome unknown."""
    if isinstance(answer, NotLanded):
        return Outcome.NOT_LANDED, None, NoEffect(answer.evidence)
    if isinstance(answer, Landed):
        outcome, result, error = landed(probe.step, answer.result, limit=limit)
        return (outcome if error is None else Outcome.UNKNOWN), result, error
    told = TypeError(f"the probe of {probe.name!r} answers {answer!r}, neither Landed(...) nor NotLanded()")
    return Outcome.UNKNOWN, None, told


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
