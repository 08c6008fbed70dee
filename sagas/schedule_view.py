"""A schedule as people see it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final

from amends.persistence.records import ScheduleRow
from amends.sagas import checked
from amends.sagas.listing import moment
from amends.sagas.occurrences import Timing
from amends.sagas.ticks import CatchUp, Definition, Overlap, Unreadable, definition_of

_NOTHING: Final = Definition(Timing(None, None, "UTC", None, 0), CatchUp.LATEST, Overlap.ALLOW, None)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule as it stands; moments are aware, UTC.

    `next_at` is the occurrence that comes next (None while it is paused, and where there is no other),
    `waiting_at` one that waits for the end of the run before it. `last_run` is the id of the run that was
    started last by plan, `last_at` its occurrence; `started` and `skipped` count occurrences, and
    `last_skipped_at` is the last one skipped for the run before it. `broken` says why this code can't read
    it: then nothing is known of what its definition says.
    """

    id: str
    saga: str
    version: str
    cron: str | None
    every: dt.timedelta | None
    timezone: str
    start_at: dt.datetime | None
    catch_up: CatchUp
    overlap: Overlap
    paused: bool
    next_at: dt.datetime | None
    waiting_at: dt.datetime | None
    last_run: str | None
    last_at: dt.datetime | None
    started: int
    skipped: int
    last_skipped_at: dt.datetime | None
    created_at: dt.datetime
    broken: str | None = None


def seen(row: ScheduleRow) -> Schedule:
    """Show a schedule; of one that can't be read, what its row says by itself."""
    broken, definition = None, _NOTHING
    try:
        definition = definition_of(row)
    except Unreadable as problem:
        broken = str(problem)
    timing = definition.timing
    return Schedule(
        row.id,
        row.saga,
        row.version,
        timing.cron,
        None if timing.every is None else timing.every * checked.MILLISECOND,
        timing.timezone,
        _moment(timing.start_at),
        definition.catch_up,
        definition.overlap,
        row.paused,
        _moment(row.next_at),
        _moment(row.waiting_at),
        row.last_run,
        _moment(row.last_at),
        row.started,
        row.skipped,
        _moment(row.last_skipped_at),
        moment(row.created_at),
        broken,
    )


def _moment(milliseconds: int | None) -> dt.datetime | None:
    return None if milliseconds is None else moment(milliseconds)
