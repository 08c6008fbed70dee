"""Describing a run that is to be started: its id, its input, its row."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from uuid_utils import uuid7

from amends.persistence.records import NewRun, RunRow, Status
from amends.sagas.body import too_large
from amends.sagas.checked import MILLISECOND
from amends.sagas.errors import InputInvalid
from amends.sagas.places import place_of
from amends.sagas.saga import Saga
from amends.tracing.identity import caused

LONGEST_ID: Final = 200


def encoded(saga: Saga[..., Any], args: tuple[Any, ...], limit: int) -> bytes:
    """Encode a run's input, of at most `limit` bytes. Raises `InputInvalid`, `PayloadTooLarge`."""
    data = saga.arguments.encode(args, {})
    if len(data) > limit:
        raise too_large(f"saga {saga.name!r}: its input", len(data), limit)
    return data


def new_run(saga: Saga[..., Any], run_id: str, data: bytes, now: int, priority: int = 0) -> NewRun:
    """Describe a run that is to be inserted. Raises `InputInvalid` where its queue's key is none."""
    deadline = None if saga.deadline is None else now + round(saga.deadline / MILLISECOND)
    place = place_of(saga, data)
    return NewRun(
        run_id,
        saga.name,
        saga.version,
        data,
        now,
        deadline,
        place.queue,
        queued=place.queued,
        queue_key=place.key,
        priority=priority,
    )


def started_by(row: RunRow, new: NewRun) -> NewRun:
    """Have a run serve where the one does that starts it, and its trace lead there."""
    trace = None if row.trace is None else caused(row.trace, row.id, new.id, new.created_at)
    return replace(new, queue=row.queue, trace=trace)


def row_of(new: NewRun) -> RunRow:
    """Give the row of a run as it is when it has just been inserted."""
    return RunRow(
        new.id,
        new.saga,
        new.version,
        new.queue,
        Status.OPEN,
        None,
        new.input,
        None,
        None,
        None,
        None,
        new.deadline_at,
        new.created_at,
        None,
        0,
        0,
        None,
        new.parent,
        new.parent_ref,
        new.root,
        new.no_pivot,
        new.scheduled_for,
        new.trace,
    )


def checked_id(run_id: object) -> str:
    """Check a run's id, or make one: they ascend, so runs of one moment keep the order of their starts.

    Raises `InputInvalid`.
    """
    if run_id is None:
        return str(uuid7())
    if not isinstance(run_id, str) or not 0 < len(run_id) <= LONGEST_ID or not run_id.isprintable():
        raise InputInvalid(f"a run's id is a printable text of 1 to {LONGEST_ID} characters, not {run_id!r}")
    return run_id
