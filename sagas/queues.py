"""Queues: how many runs may go on at once, of one key, and how many may begin within a time."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import asdict, dataclass

from amends.persistence.queue_records import QueueChange, QueueCount, QueueRow
from amends.persistence.records import AuditRow, Write, Written
from amends.sagas import checked
from amends.sagas.desk import Desk
from amends.sagas.errors import AmendsError, InputInvalid, QueueNotFound
from amends.sagas.listing import moment

LONGEST_RATE = dt.timedelta(days=31)

Found = list["Queue"]
Trail = list[AuditRow]
Rows = list[QueueRow]


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` runs begin within any time of the length `per`.

    >>> Rate(100, per=timedelta(minutes=1))
    """

    count: int
    per: dt.timedelta

    def __post_init__(self) -> None:
        """Check both. Raises `InputInvalid`."""
        checked.count(self.count, "Rate: count")
        checked.duration(self.per, "Rate: per", InputInvalid)
        if self.per > LONGEST_RATE:
            raise InputInvalid(f"Rate: per={self.per} is longer than {LONGEST_RATE.days} days")


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue as it stands.

    At most `concurrency` of its runs go on at once, at one worker `per_worker`, of one key `per_key`; None is
    no limit. `queued` runs wait for a place, the first of them since `oldest`; `going` have one.
    """

    name: str
    concurrency: int | None
    per_worker: int | None
    per_key: int | None
    rate: Rate | None
    paused: bool
    queued: int
    oldest: dt.datetime | None
    going: int


class Queues:
    """The queues of a coordinator's database: `coordinator.queues`.

    >>> @saga(queue="emails", key=lambda customer, text: customer)
    ... async def send_email(customer: str, text: str) -> None: ...
    >>> await coordinator.queues.put(
    ...     "emails", concurrency=10, rate=Rate(100, per=timedelta(minutes=1))
    ... )

    A run of a queue begins when it has a place there, and keeps it until it has ended; a parked one gives its
    place to others, but not its key's. What has begun never waits for a place again: neither waking up nor
    undoing does. Limits hold over all workers, and whatever becomes of them. A queue that nobody has made has
    no limits, but for one run of a key at a time.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def put(
        self,
        name: str,
        *,
        concurrency: int | None = None,
        per_worker: int | None = None,
        per_key: int | None = 1,
        rate: Rate | None = None,
        by: str = "api",
    ) -> Queue:
        """Make a queue, or replace its limits; returns once that is durable, and all workers heed it.

        What is left out is no limit. Whether it is paused stays as it is. `by` is who asks, for the record.
        Raises `InputInvalid`.
        """
        known = checked.queue_name(name, "a queue", InputInvalid)
        for what, limit in (("concurrency", concurrency), ("per_worker", per_worker), ("per_key", per_key)):
            if limit is not None:
                checked.count(limit, what)
        if rate is not None and not isinstance(rate, Rate):
            raise InputInvalid(f"rate={rate!r} must be a Rate, such as Rate(100, per=timedelta(minutes=1))")
        count, ms = (None, None) if rate is None else (rate.count, round(rate.per / checked.MILLISECOND))
        row = QueueRow(known, concurrency, per_worker, per_key, count, ms)
        said = {what: limit for what, limit in asdict(row).items() if what not in _NOT_LIMITS}
        await self._change(QueueChange(known, row), by, "put", json.dumps(said))
        return await self.get(known)

    async def pause(self, name: str, *, by: str = "api") -> None:
        """Let no further run of a queue begin; those that have begun go on. Raises `InputInvalid`."""
        known = checked.queue_name(name, "a queue", InputInvalid)
        await self._change(QueueChange(known, paused=True), by, "pause")

    async def resume(self, name: str, *, by: str = "api") -> None:
        """Let runs of a queue begin again. Raises `InputInvalid`."""
        known = checked.queue_name(name, "a queue", InputInvalid)
        await self._change(QueueChange(known, paused=False), by, "resume")

    async def delete(self, name: str, *, by: str = "api") -> None:
        """Take a queue's limits away, and its pause; its runs stay. Raises `QueueNotFound`."""
        known = checked.queue_name(name, "a queue", InputInvalid)
        if known not in {row.name for row in await self._rows()}:
            raise _not_found(known)
        await self._change(QueueChange(known), by, "delete")

    async def list(self) -> Found:
        """List the queues that somebody has made, or in which runs are, by their names."""
        rows, counts = {row.name: row for row in await self._rows()}, await self._counts()
        names = sorted(rows.keys() | counts.keys())
        return [_seen(rows.get(name, QueueRow(name)), counts.get(name, QueueCount())) for name in names]

    async def get(self, name: str) -> Queue:
        """Give a queue as it stands. Raises `QueueNotFound`."""
        wanted = checked.an_id(name, "a queue's name")
        for queue in await self.list():
            if queue.name == wanted:
                return queue
        raise _not_found(wanted)

    async def audit(self, name: str) -> Trail:
        """Give a queue's audit trail, in order: who changed what; it outlives the queue."""
        return await self._desk.audit(trail_of(name))

    async def _rows(self) -> Rows:
        return await self._desk.ask(lambda database: database.queues.all())

    async def _counts(self) -> dict[str, QueueCount]:
        return await self._desk.ask(lambda database: database.queues.counts())

    async def _change(self, change: QueueChange, by: str, act: str, detail: str | None = None) -> None:
        trail = trail_of(change.name)
        line = AuditRow(trail, self._desk.now(), checked.person(by, "who asks"), act, detail)
        receipt = await self._desk.write(Write(trail, queue=change, audit=(line,)), claim=True)
        if receipt.written is not Written.DONE:
            reason = receipt.reason or receipt.written
            raise AmendsError(f"queue {change.name!r} could not be changed ({act}): {reason}")


_NOT_LIMITS = ("name", "paused", "updated_at")


def trail_of(name: str) -> str:
    """Give the name under which acts on a queue stand in the audit trail."""
    return f"queue:{name}"


def _seen(row: QueueRow, count: QueueCount) -> Queue:
    rate = None
    if row.rate_count is not None and row.rate_ms is not None:
        rate = Rate(row.rate_count, dt.timedelta(milliseconds=row.rate_ms))
    oldest = None if count.oldest is None else moment(count.oldest)
    limits = row.concurrency, row.per_worker, row.per_key
    return Queue(row.name, *limits, rate, row.paused, count.queued, oldest, count.taken)


def _not_found(name: str) -> QueueNotFound:
    return QueueNotFound(f"nobody has made a queue {name!r} in this database, and no run is in one")
