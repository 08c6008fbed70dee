"""What becomes of a schedule when its time has come: data in, what is to be written out. No I/O, no clock."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from amends.persistence.records import (
    AuditRow,
    InboxRow,
    NewRun,
    ScheduleChange,
    ScheduleRow,
    Tell,
    Wake,
    Write,
)
from amends.sagas.journal import Kind
from amends.sagas.occurrences import Timing
from amends.sagas.places import DEFAULT

FORMAT: Final = 1
"""The layout of definitions that this code writes, and the newest that it reads."""
GRACE_MS: Final = 60_000
"""An occurrence counts as missed for `catch_up="none"` once it is so long ago."""
MOST_MISSED: Final = 100
"""So many missed occurrences are made up for with `catch_up="all"`, the last ones."""


class CatchUp(StrEnum):
    """What becomes of occurrences that came while no worker was alive."""

    LATEST = "latest"
    """One run, for the last of them."""
    ALL = "all"
    """One run for each of the last hundred, in order."""
    NONE = "none"
    """No run, unless the last came within the last minute."""


class Overlap(StrEnum):
    """What becomes of an occurrence when the run that was started last hasn't ended."""

    ALLOW = "allow"
    """It starts a run beside it."""
    SKIP = "skip"
    """It starts none."""
    QUEUE = "queue"
    """It starts one when that run has ended; one occurrence waits at most, others start none."""
    CANCEL_PREVIOUS = "cancel_previous"
    """It starts one, and that run is cancelled."""


@dataclass(frozen=True, slots=True)
class Definition:
    """What a person has said of a schedule.

    `deadline` is its saga's, in milliseconds after a start, `queue` and `key` say where its runs wait.
    """

    timing: Timing
    catch_up: CatchUp
    overlap: Overlap
    deadline: int | None
    queue: str | None = None
    key: str | None = None

    def to_json(self) -> str:
        """Give it as it is stored."""
        timing = self.timing
        return json.dumps(
            {
                "cron": timing.cron,
                "every": timing.every,
                "timezone": timing.timezone,
                "start_at": timing.start_at,
                "anchor": timing.anchor,
                "catch_up": self.catch_up.value,
                "overlap": self.overlap.value,
                "deadline": self.deadline,
                "queue": self.queue,
                "key": self.key,
            }
        )

    def says_the_same(self, other: Definition) -> bool:
        """Tell whether it is the same, whenever it was said."""
        return self.timing.same_as(other.timing) and replace(self, timing=other.timing) == other

    def run(self, id: str, row: ScheduleRow, scheduled_for: int, now: int) -> NewRun:
        """Describe a run of the schedule."""
        deadline = None if self.deadline is None else now + self.deadline
        return NewRun(
            id,
            row.saga,
            row.version,
            row.input,
            now,
            deadline,
            self.queue or DEFAULT,
            scheduled_for=scheduled_for,
            queued=self.queue is not None,
            queue_key=self.key,
        )


class Unreadable(Exception):
    """This code can't read a schedule: newer code has written it, or its row is broken."""


def definition_of(row: ScheduleRow) -> Definition:
    """Read a schedule's definition. Raises `Unreadable`."""
    if row.format > FORMAT:
        raise Unreadable(f"newer code has written it (format {row.format}; this code reads {FORMAT})")
    if row.unreadable:
        raise Unreadable(row.unreadable)
    try:
        said = json.loads(row.definition)
        timing = Timing(said["cron"], said["every"], said["timezone"], said["start_at"], said["anchor"])
        if (timing.cron is None) == (timing.every is None):
            raise ValueError("neither or both of cron and every")
        timing.after(row.updated_at)
        policies = CatchUp(said["catch_up"]), Overlap(said["overlap"]), said["deadline"]
        return Definition(timing, *policies, said.get("queue"), said.get("key"))
    except Exception as error:  # a row may hold anything: whatever it is, the others go on
        words = f"{type(error).__name__}: {error}".rstrip(": ")
        raise Unreadable(f"its definition can't be read ({words})") from error


def run_id(schedule_id: str, occurrence: int) -> str:
    """Give the id of the run of an occurrence: `nightly@2026-11-22T09:00:00Z`."""
    moment = dt.datetime.fromtimestamp(occurrence // 1_000, dt.UTC)
    return f"{schedule_id}@{moment:%Y-%m-%dT%H:%M:%SZ}"


def trail_of(schedule_id: str) -> str:
    """Give the name under which acts on a schedule stand in the audit trail."""
    return f"schedule:{schedule_id}"


def changed(row: ScheduleRow, now: int) -> ScheduleChange:
    """Have a schedule's row written, if it is still the one that was seen."""
    return ScheduleChange(replace(row, updated_at=now, revision=row.revision + 1), row.revision)


def tick(row: ScheduleRow, now: int) -> Write | None:
    """Decide what follows from the time for one occurrence of a schedule; None where nothing has come.

    Raises `Unreadable`.
    """
    definition = definition_of(row)
    if row.waiting_at is not None and not row.busy:
        return _start(replace(row, waiting_at=None), definition, row.waiting_at, now)
    if row.next_at is None or row.next_at > now:
        return None
    occurrence, following = _chosen(definition, row.next_at, now)
    row = replace(row, next_at=following)
    if occurrence is None:
        return _only(row, now)
    if not row.busy or definition.overlap in (Overlap.ALLOW, Overlap.CANCEL_PREVIOUS):
        return _start(row, definition, occurrence, now)
    if definition.overlap is Overlap.QUEUE and row.waiting_at is None:
        return _only(replace(row, waiting_at=occurrence), now)
    return _only(replace(row, skipped=row.skipped + 1, last_skipped_at=occurrence), now)


def without_its_run(write: Write) -> Write:
    """Give a tick for an occurrence whose run is there already: only the schedule goes on."""
    return replace(write, start=None, tells=(), audit=())


def _chosen(definition: Definition, first: int, now: int) -> tuple[int | None, int | None]:
    """Choose among the occurrences from `first` until now, and tell which comes after that."""
    timing = definition.timing
    if definition.catch_up is CatchUp.ALL:
        occurrence = timing.among_the_last(first, now, MOST_MISSED)
        return occurrence, timing.after(occurrence)
    occurrence = timing.last(first, now)
    missed = definition.catch_up is CatchUp.NONE and now - occurrence > GRACE_MS
    return None if missed else occurrence, timing.after(now)


def _only(row: ScheduleRow, now: int) -> Write:
    return Write(row.id, schedule=changed(row, now))


def _start(row: ScheduleRow, definition: Definition, occurrence: int, now: int) -> Write:
    new = run_id(row.id, occurrence)
    cancels = definition.overlap is Overlap.CANCEL_PREVIOUS and row.busy and row.last_run is not None
    told = _cancelled(row.id, row.last_run or "", new, now) if cancels else None
    after = replace(row, last_run=new, last_at=occurrence, started=row.started + 1)
    return Write(
        new,
        start=definition.run(new, row, occurrence, now),
        tells=() if told is None else (told[0],),
        audit=() if told is None else (told[1],),
        schedule=changed(after, now),
    )


def _cancelled(schedule_id: str, previous: str, new: str, now: int) -> tuple[Tell, AuditRow]:
    by = f"schedule {schedule_id}"
    meta = json.dumps({"reason": f"run {new} takes its place", "by": by})
    row = InboxRow(previous, f"cancel:{new}", Kind.CANCEL.value, now, meta)
    return Tell(row, Wake.CANCEL), AuditRow(previous, now, by, Kind.CANCEL.value, meta)
