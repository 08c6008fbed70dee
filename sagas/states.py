"""The states of a run and the ways between them, in one table."""

from __future__ import annotations

from enum import StrEnum

from amends.persistence.queue_records import Place
from amends.persistence.records import Cause, RunRow
from amends.persistence.records import Status as Stored

TRANSITIONS: dict[Stored, frozenset[Stored]] = {
    Stored.OPEN: frozenset(
        {
            Stored.COMPENSATING,
            Stored.PARKED,
            Stored.COMPLETED,
            Stored.COMPENSATED,
            Stored.PARTIALLY_COMPENSATED,
            Stored.FAILED,
            Stored.CANCELLED,
        }
    ),
    Stored.COMPENSATING: frozenset(
        {
            Stored.PARKED,
            Stored.COMPLETED,
            Stored.COMPENSATED,
            Stored.PARTIALLY_COMPENSATED,
            Stored.FAILED,
            Stored.CANCELLED,
        }
    ),
    Stored.PARKED: frozenset({Stored.OPEN, Stored.COMPENSATING}),
    Stored.COMPLETED: frozenset({Stored.COMPENSATING}),
    Stored.COMPENSATED: frozenset({Stored.COMPENSATING}),
    Stored.PARTIALLY_COMPENSATED: frozenset({Stored.COMPENSATING}),
    Stored.FAILED: frozenset({Stored.COMPENSATING}),
    Stored.CANCELLED: frozenset({Stored.COMPENSATING}),
}
"""What may follow what.

An end goes back to compensating only on late evidence of an effect, a completed one only by an undo; where
that comes to nothing, the run is completed again.
"""

ENDS = frozenset(
    {
        Stored.COMPLETED,
        Stored.COMPENSATED,
        Stored.PARTIALLY_COMPENSATED,
        Stored.FAILED,
        Stored.CANCELLED,
    }
)


class Status(StrEnum):
    """The status of a run as a person sees it.

    `ready` waits for a worker, `queued` for a place in its queue, `running` is with a worker, `waiting` is
    dormant until a timer or news.
    """

    READY = "ready"
    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    COMPENSATING = "compensating"
    PARKED = "parked"
    COMPLETED = "completed"
    COMPENSATED = "compensated"
    PARTIALLY_COMPENSATED = "partially_compensated"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Tell whether a run of this status has ended."""
        return self in ENDED


ENDED = frozenset(Status(end.value) for end in ENDS)


def seen(run: RunRow, now: int) -> Status:
    """Derive what a person sees of a stored run at a moment (milliseconds)."""
    if run.status is not Stored.OPEN:
        return Status(run.status.value)
    if run.owner is not None:
        return Status.RUNNING
    if run.place in (Place.QUEUED, Place.BEHIND):
        return Status.QUEUED
    return Status.READY if run.due_at is not None and run.due_at <= now else Status.WAITING


def end_of(cause: Cause, *, undone: bool, standing: bool) -> Stored:
    """Decide how a run that didn't complete ends.

    `undone` tells that something compensatable landed, or may have, and was undone; `standing` that an
    effect which can't be undone stayed.
    """
    if undone:
        return Stored.PARTIALLY_COMPENSATED if standing else Stored.COMPENSATED
    return Stored.CANCELLED if cause is Cause.CANCEL else Stored.FAILED
