"""The cells of a run's row: of one that is new, and of one that changes."""

from __future__ import annotations

from amends.persistence.backend import Cell
from amends.persistence.queue_records import Place
from amends.persistence.records import NewRun, RunChange, Status, Write
from amends.persistence.tables import ENDED

Cells = tuple[Cell, ...]


def change_cells(run_id: str, change: RunChange, *, progressed: bool) -> Cells:
    """Return id, the change's fields but for `release`, keeps its owner?, keeps `lost`?."""
    ended = change.status in ENDED
    return (
        run_id,
        change.status.value,
        None if change.cause is None else change.cause.value,
        change.result,
        change.error,
        change.ended_at,
        None if ended else change.due_at,
        change.needs,
        change.waits_for,
        change.undoable,
        not (change.release or ended),
        not (change.release or ended or progressed),
    )


def run_cells(write: Write, start: NewRun, worker: str | None) -> Cells:
    """Return the whole row of a new run, in the state in which the write leaves it."""
    change = write.change if write.run_id == start.id else None
    if change is None:
        change = RunChange(
            Status.OPEN,
            due_at=start.deadline_at if start.queued else start.created_at,
            release=write.epoch is None or write.run_id != start.id,
        )
    ended = change.status in ENDED
    return (
        start.id,
        start.saga,
        start.version,
        start.queue,
        change.status.value,
        None if change.cause is None else change.cause.value,
        start.input,
        change.result,
        change.error,
        None if change.release or ended or write.epoch is None else worker,
        None if ended else change.due_at,
        start.deadline_at,
        start.created_at,
        change.ended_at,
        0,
        0,
        change.needs,
        start.parent,
        start.parent_ref,
        start.root,
        start.no_pivot,
        start.scheduled_for,
        start.trace,
        change.waits_for,
        Place.QUEUED.value if start.queued else None,
        start.queue_key,
        start.priority,
        start.above,
    )
