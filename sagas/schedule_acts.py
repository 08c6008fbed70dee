"""What becomes of a schedule's row when people put, pause and resume it: rows in, rows out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from amends.persistence.records import ScheduleRow
from amends.sagas.errors import ActionRefused
from amends.sagas.saga import Saga
from amends.sagas.ticks import FORMAT, Definition, Unreadable, definition_of


def put_row(
    found: ScheduleRow | None,
    name: str,
    saga: Saga[..., Any],
    data: bytes,
    wanted: Definition,
    now: int,
    *,
    paused: bool,
) -> ScheduleRow:
    """Give the row that a schedule is to have: the one that was found, where it says the same already."""
    first = wanted.timing.after(now)
    text = wanted.to_json()
    if found is None:
        return ScheduleRow(
            id=name,
            saga=saga.name,
            version=saga.version,
            input=data,
            format=FORMAT,
            definition=text,
            paused=paused,
            created_at=now,
            updated_at=now,
            next_at=None if paused else first,
        )
    new = replace(found, saga=saga.name, version=saga.version, input=data, format=FORMAT, definition=text)
    try:
        known = definition_of(found)
    except Unreadable:
        return replace(new, next_at=None if found.paused else first, unreadable="")
    same_start = (found.saga, found.version) == (saga.name, saga.version) and _same(saga, found.input, data)
    if same_start and known.says_the_same(wanted):
        return found
    if known.timing.same_as(wanted.timing):
        # What is due stays due: neither lost nor repeated.
        return replace(new, definition=replace(wanted, timing=known.timing).to_json())
    return replace(new, next_at=None if found.paused else first)


def _same(saga: Saga[..., Any], stored: bytes, data: bytes) -> bool:
    try:
        return stored == data or saga.arguments.json.canonical(stored) == data
    except ValueError:
        return False


def paused_row(row: ScheduleRow, _now: int) -> ScheduleRow:
    """Give the row of a schedule that rests. Raises `ActionRefused` where its input would be lost by that."""
    if row.unreadable:
        readable(row)
    if row.paused:
        return row
    if row.waiting_at is not None:
        row = replace(row, skipped=row.skipped + 1, last_skipped_at=row.waiting_at)
    return replace(row, paused=True, next_at=None, waiting_at=None)


def resumed_row(row: ScheduleRow, now: int) -> ScheduleRow:
    """Give the row of a schedule that goes on. Raises `ActionRefused` for one that can't be read."""
    if not row.paused:
        return row
    return replace(row, paused=False, next_at=readable(row).timing.after(now))


def readable(row: ScheduleRow) -> Definition:
    """Read a schedule's definition. Raises `ActionRefused`."""
    try:
        return definition_of(row)
    except Unreadable as problem:
        raise ActionRefused(
            f"schedule {row.id!r} can't be read here: {problem}; put it anew, or use the code that wrote it"
        ) from problem
