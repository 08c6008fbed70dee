"""The statements about schedules: which are due, when the next one is, and their changes.

A schedule that sleeps costs its row and an entry in the index of due ones; no query reads it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    Text,
    bindparam,
    delete,
    exists,
    literal_column,
    select,
    tuple_,
    update,
)

from amends.persistence.backend import Backend, column_types, id_listing, listing
from amends.persistence.encoding import storable
from amends.persistence.queries import told
from amends.persistence.records import ScheduleChange, ScheduleRow
from amends.persistence.rows import SCHEDULE_COLUMNS, Reader

AT_ONCE: Final = 200
"""So many due schedules are read at a time."""

Broken = Mapping[str, int]
"""Schedules that this process can't read, by id, in which revision."""

_CHANGED: Final = tuple(name for name in SCHEDULE_COLUMNS if name != "id")
_cells: Final = attrgetter(*SCHEDULE_COLUMNS)


class ScheduleStore:
    """The statements that write schedules, each for all of a batch."""

    def __init__(self, backend: Backend) -> None:
        schedules = backend.tables.schedules
        wanted = backend.among(schedules.c.id, "ids")
        self._lock = (
            select(schedules.c.id, schedules.c.revision).where(wanted).with_for_update(skip_locked=True)
        )
        self._existing = select(schedules.c.id).where(wanted)
        self._insert = backend.insert(schedules, SCHEDULE_COLUMNS)
        self._update = backend.many(
            column_types(schedules, SCHEDULE_COLUMNS),
            lambda cells: (
                update(schedules)
                .where(schedules.c.id == cells["id"])
                .values({name: cells[name] for name in _CHANGED})
            ),
        )
        self._delete = backend.many(
            {"id": Text}, lambda cells: delete(schedules).where(schedules.c.id == cells["id"])
        )

    def lock(self, connection: Connection, ids: Collection[str]) -> dict[str, int | None]:
        """Lock schedules and tell their revisions; None for one that somebody else has locked."""
        found: dict[str, int | None] = {
            row.id: row.revision for row in connection.execute(self._lock, {"ids": id_listing(sorted(ids))})
        }
        missing = set(ids).difference(found)
        if missing:
            there = connection.execute(self._existing, {"ids": id_listing(sorted(missing))}).scalars()
            found.update(dict.fromkeys(there))
        return found

    def write(self, connection: Connection, changes: Sequence[ScheduleChange]) -> None:
        """Write changes of schedules that are locked or new, one of each."""
        kept = [change for change in changes if not change.delete]
        for many, cells in (
            (self._delete, [(change.row.id,) for change in changes if change.delete]),
            (self._update, [_cells(change.row) for change in kept if change.seen]),
            (self._insert, [_cells(change.row) for change in kept if not change.seen]),
        ):
            if cells:
                many(connection, cells)


class ScheduleQueries:
    """What can be asked about schedules, each over a connection of its own."""

    def __init__(self, backend: Backend, reader: Reader) -> None:
        self._backend = backend
        self._reader = reader
        schedules, runs = backend.tables.schedules, backend.tables.runs
        goes_on = exists().where(runs.c.id == schedules.c.last_run, runs.c.ended_at.is_(None))
        self._all = select(*(schedules.c[name] for name in SCHEDULE_COLUMNS), goes_on.label("busy"))
        self._one = self._all.where(schedules.c.id == bindparam("schedule"))
        self._page = self._all.where(schedules.c.id > bindparam("after")).order_by(schedules.c.id)
        broken = backend.listed("broken", {"id": Text, "revision": BigInteger})
        readable = tuple_(schedules.c.id, schedules.c.revision).not_in(select(broken.c.id, broken.c.revision))
        freed = readable & schedules.c.waiting_at.is_not(None) & ~goes_on
        self._due = self._first(
            self._all.where(readable, schedules.c.next_at <= bindparam("now")), schedules.c.next_at, AT_ONCE
        )
        self._freed = self._first(self._all.where(freed), schedules.c.waiting_at, AT_ONCE)
        planned = select(schedules.c.next_at).where(readable, schedules.c.next_at.is_not(None))
        self._next = self._first(planned, schedules.c.next_at, 1)
        self._next_freed = self._first(select(schedules.c.waiting_at).where(freed), schedules.c.waiting_at, 1)

    def one(self, schedule_id: str) -> ScheduleRow | None:
        """Return a schedule, or None if there is none of this id."""
        if not storable(schedule_id):
            return None
        found = self._read(self._one, {"schedule": schedule_id})
        return found[0] if found else None

    def page(self, limit: int, after: str) -> list[ScheduleRow]:
        """List schedules by their ids, those behind `after`."""
        return self._read(self._page.limit(limit), {"after": after}) if storable(after) else []

    def due(self, now: int, broken: Broken) -> list[ScheduleRow]:
        """Return schedules of which an occurrence has come, or waits and may be started: some, not all.

        Those that are `broken` are left out.
        """
        given = {"broken": _listed(broken)}
        rows = [*self._read(self._due, {"now": now, **given}), *self._read(self._freed, given)]
        return list({row.id: row for row in rows}.values())

    def next_due(self, broken: Broken) -> int | None:
        """Return the time of the earliest occurrence; it may have come."""
        given = {"broken": _listed(broken)}
        with told(), self._backend.reads.connect() as connection:
            waiting: int | None = connection.execute(self._next_freed, given).scalar()
            return connection.execute(self._next, given).scalar() if waiting is None else waiting

    def _read(self, query: Select[Any], given: Mapping[str, int | str]) -> list[ScheduleRow]:
        with told(), self._backend.reads.connect() as connection:
            return [self._reader.schedule(row) for row in connection.execute(query, given)]

    @staticmethod
    def _first(query: Select[Any], order: ColumnElement[Any], count: int) -> Select[Any]:
        # A literal: for a parameter PostgreSQL plans as if many rows were wanted, and sorts them all.
        return query.order_by(order).limit(literal_column(str(count)))


def _listed(broken: Broken) -> str:
    return listing(("id", "revision"), sorted(broken.items()))
