"""Schedules: runs started by cron expression or interval, each occurrence once."""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import json
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

from amends.persistence.records import (
    AuditRow,
    Receipt,
    ScheduleChange,
    ScheduleRow,
    Write,
    Written,
)
from amends.sagas import checked
from amends.sagas.errors import AmendsError, DefinitionError, InputInvalid, ScheduleNotFound
from amends.sagas.handle import Run
from amends.sagas.occurrences import checked_timing
from amends.sagas.parts import Parts
from amends.sagas.places import place_of
from amends.sagas.registry import SAGAS
from amends.sagas.saga import Saga
from amends.sagas.schedule_acts import paused_row, put_row, readable, resumed_row
from amends.sagas.schedule_view import Schedule, seen
from amends.sagas.starting import Starts
from amends.sagas.ticks import CatchUp, Definition, Overlap, changed, run_id, trail_of

if TYPE_CHECKING:
    from amends.sagas.coordinator import Coordinator

Ts = TypeVarTuple("Ts")
Choice = TypeVar("Choice", CatchUp, Overlap)

Found = list[Schedule]
Trail = list[AuditRow]

LONGEST_ID = 160
"""So long a schedule's id may be: the ids of its runs are made from it."""


class Schedules:
    """The schedules of a coordinator's database: `coordinator.schedules`.

    >>> await coordinator.schedules.put(
    ...     "nightly", report, cron="0 2 * * *", timezone="Europe/Berlin"
    ... )

    Whatever worker is alive starts their runs; it needn't serve the saga. The run of an occurrence has an id
    made of both, `nightly@2026-11-22T01:00:00Z`, so that it is started once.
    """

    def __init__(self, coordinator: Coordinator, opened: Callable[[], Parts], starts: Starts) -> None:
        self._coordinator = coordinator
        self._opened = opened
        self._starts = starts

    async def put(
        self,
        id: str,
        saga: Callable[[*Ts], Awaitable[Any]],
        *args: *Ts,
        cron: str | None = None,
        every: dt.timedelta | None = None,
        timezone: str | None = None,
        catch_up: CatchUp | str = CatchUp.LATEST,
        overlap: Overlap | str = Overlap.ALLOW,
        start_at: dt.datetime | None = None,
        paused: bool = False,
    ) -> Schedule:
        """Make a schedule, or replace it; the same again changes nothing. Returns once that is durable.

        `cron` has five fields, by the clock in `timezone` (a name such as "Europe/Berlin"; UTC by default);
        `every` is elapsed time, whole seconds. Nothing occurs before `start_at`, from which intervals are
        counted; without it the first comes one interval from now. `catch_up` says what becomes of occurrences
        that came while no worker was alive: "latest", "all" or "none"; `overlap` what becomes of one when the
        run before it hasn't ended: "allow", "skip", "queue" or "cancel_previous". `paused` is for a new
        schedule alone: one that is there stays as people have left it.
        Raises `InputInvalid` when arguments or options don't fit, `PayloadTooLarge`, `DefinitionError` for
        what is no saga.
        """
        if not isinstance(saga, Saga):
            raise DefinitionError(f"{saga!r} is not a saga; decorate it with @saga")
        name, data = _checked_id(id), self._starts.encode(saga, args)
        checked.flag(paused, "paused")
        deadline = None if saga.deadline is None else round(saga.deadline / checked.MILLISECOND)
        policies = _choice(CatchUp, catch_up, "catch_up"), _choice(Overlap, overlap, "overlap"), deadline
        place = place_of(saga, data)
        waits = (place.queue, place.key) if place.queued else (None, None)
        while True:
            now = self._opened().database.now()
            timing = checked_timing(cron, every, timezone, start_at, now)
            found = await self._found(name)
            row = put_row(found, name, saga, data, Definition(timing, *policies, *waits), now, paused=paused)
            if row is found and found is not None:
                return seen(found)
            # A new one counts on from now, so that no revision of one that was deleted comes again.
            change = ScheduleChange(replace(row, revision=now), 0) if found is None else changed(row, now)
            receipt = await self._write(change, "api", "put", now, row.definition)
            if receipt.written is Written.DONE:
                return seen(change.row)
            if receipt.written is not Written.BEATEN and await self._found(name) is None:
                raise AmendsError(f"schedule {name!r} could not be put: {receipt.reason or receipt.written}")

    async def list(self, *, limit: int = 100, after: str | None = None) -> Found:
        """List schedules by their ids, those behind `after`, the last id of the page before."""
        parts = self._opened()
        most, behind = checked.count(limit, "limit"), checked.storable(after, "the schedule's id")
        rows = await parts.scheduler.read(parts.database.schedules.page, most, behind or "")
        return [seen(row) for row in rows]

    async def get(self, id: str) -> Schedule:
        """Give a schedule as it stands. Raises `ScheduleNotFound`."""
        return seen(await self._row(id))

    async def pause(self, id: str, *, by: str = "api") -> None:
        """Let a schedule rest: nothing occurs until it is resumed, and nothing of that is made up for.

        An occurrence that waits for the run before it counts as skipped. `by` is who asks, for the record.
        Raises `ScheduleNotFound`.
        """
        await self._change(id, "pause", by, paused_row)

    async def resume(self, id: str, *, by: str = "api") -> None:
        """Let a paused schedule go on with the first occurrence to come.

        Raises `ScheduleNotFound`, and `ActionRefused` for one that this code can't read.
        """
        await self._change(id, "resume", by, resumed_row)

    async def delete(self, id: str, *, by: str = "api") -> None:
        """Take a schedule away; the runs that it has started go on. Raises `ScheduleNotFound`."""
        await self._change(id, "delete", by, lambda row, _now: row, delete=True)

    async def trigger(self, id: str, *, by: str = "api") -> Run[Any]:
        """Start a run now, beside the plan, whatever that is and whether or not the schedule is paused.

        Its `scheduled_for` is this moment. Raises `ScheduleNotFound`, and `ActionRefused` for a schedule that
        this code can't read.
        """
        by = checked.person(by, "who asks")
        parts, row = self._opened(), await self._row(id)
        now, definition = parts.database.now(), readable(row)
        new = f"{run_id(id, now)}-{uuid.uuid4().hex[:8]}"
        start = definition.run(new, row, now, now)
        audit = self._audit(id, now, by, "trigger", json.dumps({"run": new}))
        receipt = await self._coordinator.desk.write(
            Write(new, start=self._coordinator.desk.born(start), audit=(audit,))
        )
        if receipt.written is not Written.DONE:
            raise AmendsError(f"run {new!r} could not be started: {receipt.reason or receipt.written}")
        parts.scheduler.claim()
        return Run(self._coordinator, new, SAGAS.get((row.saga, row.version)))

    async def audit(self, id: str) -> Trail:
        """Give a schedule's audit trail, in order: who did what to it; it outlives the schedule."""
        parts = self._opened()
        return await parts.scheduler.read(parts.database.audit, trail_of(id))

    async def _found(self, id: str) -> ScheduleRow | None:
        parts, wanted = self._opened(), checked.an_id(id, "a schedule's id")
        row: ScheduleRow | None = await parts.scheduler.read(parts.database.schedules.one, wanted)
        return row

    async def _row(self, id: str) -> ScheduleRow:
        row = await self._found(id)
        if row is None:
            raise ScheduleNotFound(f"there is no schedule {id!r} in this database")
        return row

    async def _change(
        self,
        id: str,
        act: str,
        by: str,
        change: Callable[[ScheduleRow, int], ScheduleRow],
        *,
        delete: bool = False,
    ) -> None:
        """Change a schedule as it stands, again if somebody was quicker, until it is done."""
        by = checked.person(by, "who asks")
        while True:
            row, now = await self._row(id), self._opened().database.now()
            after = change(row, now)
            if after is row and not delete:
                return
            wanted = replace(changed(after, now), delete=delete)
            receipt = await self._write(wanted, by, act, now)
            if receipt.written is Written.DONE:
                return
            if receipt.written is not Written.BEATEN:
                reason = receipt.reason or receipt.written
                raise AmendsError(f"schedule {id!r} could not be changed ({act}): {reason}")

    async def _write(
        self, change: ScheduleChange, by: str, act: str, now: int, detail: str | None = None
    ) -> Receipt:
        parts, name = self._opened(), change.row.id
        write = Write(name, schedule=change, audit=(self._audit(name, now, by, act, detail),))
        future: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        parts.writer.submit(write, functools.partial(_answer, future))
        receipt = await asyncio.shield(future)
        parts.scheduler.tick()
        return receipt

    @staticmethod
    def _audit(id: str, now: int, by: str, act: str, detail: str | None) -> AuditRow:
        return AuditRow(trail_of(id), now, by, act, detail)


def _answer(future: asyncio.Future[Receipt], receipt: Receipt) -> None:
    if not future.done():
        future.set_result(receipt)


def _checked_id(id: object) -> str:
    if not isinstance(id, str) or not 0 < len(id) <= LONGEST_ID or not id.isprintable():
        raise InputInvalid(f"a schedule's id is a printable text of 1 to {LONGEST_ID} characters, not {id!r}")
    return id


def _choice(kind: type[Choice], value: str, what: str) -> Choice:
    try:
        return kind(value)
    except ValueError:
        raise InputInvalid(f"there is no {what}={value!r}; there are: {', '.join(kind)}") from None
