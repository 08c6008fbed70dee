"""Listing runs: rows as a person sees them, page by page."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING

from amends.persistence.records import RunRow
from amends.persistence.records import Status as Stored
from amends.sagas import checked
from amends.sagas.attributes import AttributeValue, attributes_of, progress_in, searched
from amends.sagas.errors import InputInvalid
from amends.sagas.handle import RunInfo
from amends.sagas.states import Status, seen

if TYPE_CHECKING:
    from amends.sagas.parts import Parts


async def list_runs(
    parts: Parts,
    *,
    status: Status | str | None,
    saga: str | None,
    since: dt.datetime | None,
    limit: int,
    after: str | None,
    parent: str | None,
    attributes: Mapping[str, AttributeValue] | None,
) -> list[RunInfo]:
    """List runs, newest first; see `Coordinator.list`. Raises `InputInvalid`."""
    wanted = None if status is None else status_of(status)
    checked.storable(saga, "the saga's name")
    checked.storable(after, "the run's id")
    checked.storable(parent, "the parent's id")
    page = functools.partial(
        parts.database.runs,
        status=_stored(wanted),
        saga=saga,
        since=None if since is None else round(since.timestamp() * 1000),
        limit=limit,
        parent=parent,
        attributes=searched(attributes, "attributes="),
    )
    found: list[RunInfo] = []
    while len(found) < limit:
        rows = await parts.scheduler.read(functools.partial(page, after=after))
        now = parts.database.now()
        seen_now = [info_of(row, now) for row in rows]
        found += [info for info in seen_now if wanted in (None, info.status)]
        if len(rows) < limit:
            break
        after = rows[-1].id
    return found[:limit]


def moment(milliseconds: int) -> dt.datetime:
    """Give a stored time as an aware datetime, UTC."""
    return dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)


def status_of(status: Status | str) -> Status:
    """Give the status of a name. Raises `InputInvalid`."""
    try:
        return Status(status)
    except ValueError:
        raise InputInvalid(f"there is no status {status!r}; there are: {', '.join(Status)}") from None


def _stored(status: Status | None) -> Stored | None:
    if status is None:
        return None
    derived = Status.READY, Status.QUEUED, Status.RUNNING, Status.WAITING
    return Stored.OPEN if status in derived else Stored(status.value)


def info_of(row: RunRow, now: int) -> RunInfo:
    """Give a run as people see it at a moment (milliseconds)."""
    status = seen(row, now)
    return RunInfo(
        row.id,
        row.saga,
        row.version,
        status,
        None if row.cause is None else row.cause.value,
        moment(row.created_at),
        None if row.ended_at is None else moment(row.ended_at),
        None if row.due_at is None else moment(row.due_at),
        None if row.deadline_at is None else moment(row.deadline_at),
        row.owner,
        row.parent,
        None if row.scheduled_for is None else moment(row.scheduled_for),
        row.waits_for if status is Status.WAITING else None,
        attributes_of(row.attributes),
        progress_in(row.progress),
    )
