"""The errors for runs that aren't there, or are no longer."""

from __future__ import annotations

from collections.abc import Sequence

from amends.persistence.removal_records import Tombstone
from amends.sagas.errors import RunNotFound, RunRemoved
from amends.sagas.listing import moment


def not_found(run_id: str) -> RunNotFound:
    """Make the error for a run that isn't there."""
    return RunNotFound(f"there is no run {run_id!r} in this database")


def missing(run_id: str, left: Sequence[Tombstone]) -> RunNotFound | RunRemoved:
    """Make the error for a run that isn't there, given what is left of it."""
    if not left:
        return not_found(run_id)
    run = left[0]
    ended, removed = (f"{moment(at):%Y-%m-%d}" for at in (run.ended_at, run.removed_at))
    return RunRemoved(
        f"run {run_id!r} of saga {run.saga!r} ended as {run.status} on {ended}, and what was on record of it "
        f"was removed on {removed}; its id isn't free"
    )
