"""What is said of a transaction that didn't go as it should."""

from __future__ import annotations

from amends.persistence.errors import CommittedByStep
from amends.sagas.errors import StepTimeout
from amends.sagas.news import Attempt


class Again(Exception):
    """The database can't be had just now, or a COMMIT's reply is lost: the key's row is to be asked."""


def timed_out(attempt: Attempt, longest: float | None) -> StepTimeout:
    """Say that an attempt was over its time, or over the `longest` seconds that the database allows."""
    what = f"attempt {attempt.attempt} of {attempt.name!r}"
    if longest is not None:
        return StepTimeout(
            f"{what} held the database for more than {longest:g} s, half the worker's lease, while nobody "
            "else could write; nothing of it stands"
        )
    return StepTimeout(f"{what} took longer than {attempt.timeout_ms / 1000:g} s")


def ended_itself(attempt: Attempt) -> CommittedByStep:
    """Say that an attempt's transaction was over before amends ended it."""
    return CommittedByStep(
        f"{attempt.name!r} has ended its transaction itself, by SQL of its own: leave that to amends, and "
        "use begin_nested() for a part that may be rolled back"
    )


def result_lost(attempt: Attempt) -> CommittedByStep:
    """Say that an attempt has committed without its result."""
    return CommittedByStep(
        f"{attempt.name!r} has committed by SQL of its own: its rows stand, and its result is lost; leave "
        "committing to amends"
    )
