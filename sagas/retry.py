"""When a failed attempt is tried again, and after how long."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import tenacity

from amends.sagas import checked
from amends.sagas.checked import Errors
from amends.sagas.errors import DefinitionError, Fatal, NoEffect, RetryAfter

FIRST_WAIT = 1.0
LONGEST_WAIT = 30.0
NEVER = 100 * 365 * 86_400.0
"""Seconds that a wait takes at most: an infinite one must still be a moment that a database can hold."""

ENDLESS = 1 << 62


@dataclass(frozen=True, slots=True)
class Retry:
    """How often, when and for which errors a step or compensation is tried again.

    `attempts` counts the first one too. `wait` is a `timedelta` or one of tenacity's `wait` objects; left
    out, it doubles from 1 s to 30 s with jitter. `on` and `never` are exception classes; `on` may be one of
    tenacity's `retry` objects, and `stop` one of its `stop` objects, asked beside `attempts`. Attempts
    lost with their worker don't count. `Fatal` and errors that say "no effect" end the attempts unless
    `on` names them, or they are a `RetryAfter` too. Raises `DefinitionError` for a value that means nothing.
    """

    attempts: int = 3
    wait: timedelta | Callable[[tenacity.RetryCallState], float] | None = None
    on: Errors | tenacity.retry_base = Exception
    never: Errors = ()
    stop: Callable[[tenacity.RetryCallState], bool] | None = None

    def __post_init__(self) -> None:
        checked.count(self.attempts, "Retry: attempts", DefinitionError)
        if isinstance(self.wait, timedelta):
            if self.wait < timedelta(0):
                raise DefinitionError(f"Retry: wait={self.wait!r} must not be negative")
        elif self.wait is not None and not callable(self.wait):
            raise DefinitionError(
                f"Retry: wait={self.wait!r} must be a timedelta, such as timedelta(seconds=5), or one of"
                " tenacity's `wait` objects"
            )
        if self.stop is not None and not callable(self.stop):
            raise DefinitionError(f"Retry: stop={self.stop!r} must be one of tenacity's `stop` objects")
        if not isinstance(self.on, tenacity.retry_base):
            checked.errors(self.on, "Retry: on=")
        checked.errors(self.never, "Retry: never=")

    def without_bound(self) -> Retry:
        """Give the same policy with no end to its attempts: for what has to succeed in the end."""
        return replace(self, attempts=ENDLESS, stop=None)

    def named(self) -> tuple[type[BaseException], ...]:
        """Give the exception classes that the policy knows by name."""
        on = () if isinstance(self.on, tenacity.retry_base) else checked.errors(self.on, "on=")
        return (*on, *checked.errors(self.never, "never="))


@dataclass(frozen=True, slots=True)
class Failed:
    """A failed attempt, as a retry policy sees it: the count, and the seconds since the first began."""

    error: BaseException
    attempt: int
    elapsed: float
    no_effect: bool


def next_wait(policy: Retry, failed: Failed, rng: random.Random) -> float | None:
    """Decide how many seconds to wait before the next attempt; None when there is to be none."""
    if failed.attempt >= policy.attempts or isinstance(failed.error, policy.never):
        return None
    if _final(failed) and not _named(policy, failed.error):
        return None
    state = _state(failed)
    if not _retried(policy, failed.error, state) or (policy.stop is not None and policy.stop(state)):
        return None
    if isinstance(failed.error, RetryAfter) and failed.error.seconds is not None:
        return min(NEVER, max(0.0, failed.error.seconds))
    return min(NEVER, _wait(policy, failed.attempt, state, rng))


def _final(failed: Failed) -> bool:
    """Tell whether the error is an answer, so that asking again is pointless."""
    if isinstance(failed.error, Fatal):
        return True
    return failed.no_effect and not isinstance(failed.error, RetryAfter)


def _named(policy: Retry, error: BaseException) -> bool:
    on = policy.on
    if isinstance(on, tenacity.retry_base):
        return False
    kinds = on if isinstance(on, tuple) else (on,)
    return any(
        isinstance(error, kind) for kind in kinds if issubclass(kind, (NoEffect, Fatal)) or kind not in BROAD
    )


BROAD = (BaseException, Exception)


def _retried(policy: Retry, error: BaseException, state: tenacity.RetryCallState) -> bool:
    if isinstance(policy.on, tenacity.retry_base):
        return bool(policy.on(state))
    return isinstance(error, policy.on)


def _wait(policy: Retry, attempt: int, state: tenacity.RetryCallState, rng: random.Random) -> float:
    if isinstance(policy.wait, timedelta):
        return policy.wait.total_seconds()
    if policy.wait is not None:
        return float(policy.wait(state))
    longest = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(attempt - 1, 16))
    return longest * (0.5 + rng.random() / 2)


def _state(failed: Failed) -> tenacity.RetryCallState:
    state = tenacity.RetryCallState(retry_object=None, fn=None, args=(), kwargs={})  # type: ignore[arg-type]  # policies read times and outcome only
    state.start_time = 0.0
    state.attempt_number = failed.attempt
    state.outcome_timestamp = failed.elapsed
    outcome = tenacity.Future(failed.attempt)
    outcome.set_exception(failed.error)
    state.outcome = outcome
    return state
