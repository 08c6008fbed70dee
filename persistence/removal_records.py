"""What is removed of the log for good, and what stays of it, as plain data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Removal:
    """Families of runs that are to be removed, by the runs above all others, where they still may be.

    All of a family must have ended, and the run above before `before` (milliseconds); what can still be
    undone only if it ended before `undoable_before` (None: never).
    """

    ids: tuple[str, ...]
    before: int
    undoable_before: int | None = None


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What stays of a run that was removed: its id is never free again. Times are milliseconds."""

    id: str
    saga: str
    status: str
    ended_at: int
    removed_at: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A run that has ended long ago, and whether it may be removed, or is kept because it can be undone."""

    id: str
    created_at: int
    kept: bool
