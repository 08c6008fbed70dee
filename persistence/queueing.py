"""The statements about queues: who waits for a place, who has one, and giving places."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Text,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal_column,
    or_,
    select,
    text,
    tuple_,
    update,
)

from amends.persistence.admission import Held, Waiting, chosen, free
from amends.persistence.backend import Backend, Many, column_types, id_listing
from amends.persistence.behind import BEHIND, Behind
from amends.persistence.leases import is_served, served
from amends.persistence.once import once
from amends.persistence.queue_records import Place, QueueChange, QueueCount, QueueRow
from amends.persistence.records import Serves, Status
from amends.persistence.tables import KEYED, QUEUED, TAKEN

QUEUE_COLUMNS: Final = (
    "name",
    "concurrency",
    "per_worker",
    "per_key",
    "rate_count",
    "rate_ms",
    "paused",
    "updated_at",
)
LIMIT_COLUMNS: Final = tuple(name for name in QUEUE_COLUMNS if name != "paused")
PAUSE_COLUMNS: Final = ("name", "paused", "updated_at")
BUSY_MS: Final = 20
"""A queue in which another worker gives places just now is asked again after so long."""
PAGE: Final = 200
"""So many waiting runs are looked at together."""
MOST_PAGES: Final = 5
"""So many pages are looked at in one transaction; the next one is asked for at once."""
PASSED_BY: Final = 50
"""So many runs of full keys may stand in a page without being set aside."""
_FROM_THE_BEGINNING: Final = {"priority": -(2**63), "created_at": -1, "id": ""}

_limits: Final = attrgetter(*LIMIT_COLUMNS)


@dataclass(frozen=True, slots=True)
class Admission:
    """How many runs were given a place, whether others may wait, and when to ask again (milliseconds)."""

    count: int = 0
    waiting: bool = False
    again_at: int | None = None

    def and_(self, count: int, again_at: int | None) -> Admission:
        """Add what came of another queue."""
        times = [at for at in (self.again_at, again_at) if at is not None]
        return Admission(self.count + count, self.waiting, min(times, default=None))


class Queueing:
    """Giving places; each method belongs into one transaction."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._behind = Behind(backend)
        once(self, backend.tables, self._prepare_queues, self._prepare_runs)

    def admit(
        self, connection: Connection, names: Sequence[str], serves: Serves, room: int, now: int
    ) -> Admission:
        """Give places in these queues to at most `room` runs which the worker can run: they are due then.

        Each queue gets its share of the room; what others leave goes to those that are named first. A queue
        in which another worker gives places just now is left out.
        """
        wanted = {"names": id_listing(sorted(names))}
        crowded = list(connection.execute(self._crowded, wanted).scalars())
        if not crowded:
            return Admission()
        rows = self._locked(connection, crowded)
        admission = Admission(0, waiting=True, again_at=now + BUSY_MS if len(rows) < len(crowded) else None)
        rows.sort(key=lambda row: names.index(row.name))
        share = max(room // max(len(rows), 1), 1)
        for most in (share, room):
            wanting = []
            for row in rows:
                left = min(most, room - admission.count)
                if left > 0:
                    count, again_at = self._admit_to(connection, row, serves, left, now)
                    admission = admission.and_(count, again_at)
                    if count == left:
                        wanting.append(row)
            rows = wanting
        return admission

    def bounded(self, connection: Connection, worker: str) -> dict[str, int]:
        """Tell how many runs a worker may claim of each queue that has a limit per worker."""
        limits = {name: int(most) for name, most in connection.execute(self._per_worker)}
        if not limits:
            return {}
        held = {name: int(n) for name, n in connection.execute(self._mine, {"worker": worker})}
        return {name: max(limit - held.get(name, 0), 0) for name, limit in limits.items()}

    def change(self, connection: Connection, change: QueueChange, now: int) -> None:
        """Change a queue, and make it where there is none; whoever gives places there is waited for."""
        if change.limits is None and change.paused is None:
            connection.execute(self._delete, {"queue": change.name})
            return
        self._enter(connection, [change.name])
        if change.limits is not None:
            self._limit(connection, [_limits(replace(change.limits, name=change.name, updated_at=now))])
            if change.limits.per_key is None:
                self._behind.bring_all_back(connection, change.name)
        if change.paused is not None:
            self._pause(connection, [(change.name, change.paused, now)])

    def _locked(self, connection: Connection, names: Sequence[str]) -> list[QueueRow]:
        """Lock queues that nobody else has locked, making those that aren't there."""
        wanted = {"names": id_listing(names)}
        rows = [QueueRow(*row) for row in connection.execute(self._lock, wanted)]
        if len(rows) < len(names):
            there = set(connection.execute(self._existing, wanted).scalars())
            if missing := [name for name in names if name not in there]:
                self._enter(connection, missing)
                rows = [QueueRow(*row) for row in connection.execute(self._lock, wanted)]
        return rows

    def _admit_to(
        self, connection: Connection, row: QueueRow, serves: Serves, room: int, now: int
    ) -> tuple[int, int | None]:
        held = self._held(connection, row.name)
        left = free(row, held, self._begun(connection, row, now), room, now)
        if not left.room:
            return 0, left.again_at
        self._behind.bring_back(connection, row, held.of_key, serves, left.room)
        found, whole = self._chosen(connection, row, held, serves, left.room)
        if found:
            connection.execute(self._admit, {"ids": id_listing(sorted(found)), "now": now})
        if not whole:
            return len(found), now
        return len(found), left.again_at if len(found) == left.room else None

    def _held(self, connection: Connection, queue: str) -> Held:
        going, of_key = 0, dict[str, int]()
        for key, there, parked in connection.execute(self._taken, {"queue": queue}):
            going += there - parked
            if key is not None:
                of_key[key] = there
        return Held(going, of_key)

    def _begun(self, connection: Connection, row: QueueRow, now: int) -> list[int]:
        if row.rate_count is None or row.rate_ms is None:
            return []
        given = {"queue": row.name, "since": now - row.rate_ms, "most": row.rate_count}
        return list(connection.execute(self._recent, given).scalars())

    def _chosen(
        self, connection: Connection, row: QueueRow, held: Held, serves: Serves, room: int
    ) -> tuple[list[str], bool]:
        """Choose among those who wait, page by page, and set aside who would be read in vain the next time.

        Gives them, and whether all were looked at that had to be.
        """
        of_key, found = Counter(held.of_key), list[str]()
        given = served(serves) | {"queue": row.name, "most": PAGE, **_FROM_THE_BEGINNING}
        for _ in range(MOST_PAGES):
            page = [Waiting(*each) for each in connection.execute(self._waiting, given)]
            more, passed = chosen(row, of_key, page, room - len(found))
            found += more
            if len(passed) > PASSED_BY:
                self._behind.set_aside(connection, passed)
            if len(found) == room or len(page) < PAGE:
                return found, True
            last = page[-1]
            given |= {"priority": last.priority, "created_at": last.created_at, "id": last.id}
        return found, False

    def _enter(self, connection: Connection, names: Iterable[str]) -> None:
        """Make queues without limits, but for one run of a key at a time; others may do so just now."""
        for name in names:
            connection.execute(self._make, {"queue": name})

    def _prepare_queues(self) -> None:
        queues = self._backend.tables.queues
        wanted = self._backend.among(queues.c.name, "names")
        rows = select(*(queues.c[name] for name in QUEUE_COLUMNS)).where(wanted).order_by(queues.c.name)
        self._lock = rows.with_for_update(skip_locked=True)
        self._existing = select(queues.c.name).where(wanted)
        self._per_worker = select(queues.c.name, queues.c.per_worker).where(queues.c.per_worker.is_not(None))
        self._make = self._backend.insert_missing(
            queues, {"name": bindparam("queue"), "per_key": 1, "paused": False, "updated_at": 0}
        )
        self._delete = delete(queues).where(queues.c.name == bindparam("queue"))
        self._limit = self._changes(LIMIT_COLUMNS)
        self._pause = self._changes(PAUSE_COLUMNS)

    def _changes(self, columns: Sequence[str]) -> Many:
        queues = self._backend.tables.queues
        return self._backend.many(
            column_types(queues, columns),
            lambda cells: (
                update(queues)
                .where(queues.c.name == cells["name"])
                .values({name: cells[name] for name in columns[1:]})
            ),
        )

    def _prepare_runs(self) -> None:
        runs = self._backend.tables.runs
        named = self._backend.listed("names", {"id": Text})
        here = runs.c.queue == bindparam("queue")
        self._crowded = (
            select(named.c.id)
            .where(
                or_(
                    exists().where(runs.c.queue == named.c.id, text(QUEUED)),
                    exists().where(
                        runs.c.queue == named.c.id,
                        runs.c.place == BEHIND,
                        text(KEYED),
                    ),
                )
            )
            .order_by(named.c.id)
        )
        parked = case((runs.c.status == Status.PARKED.value, 1), else_=0)
        self._taken = (
            select(runs.c.queue_key, func.count(), func.sum(parked))
            .where(here, text(TAKEN))
            .group_by(runs.c.queue_key)
        )
        self._recent = (
            select(runs.c.admitted_at)
            .where(here, runs.c.admitted_at >= bindparam("since", type_=BigInteger))
            .order_by(runs.c.admitted_at.desc())
            .limit(bindparam("most", type_=BigInteger))
        )
        self._waiting = self._waiting_in(here)
        self._admit = (
            update(runs)
            .where(self._backend.among(runs.c.id, "ids"))
            .values(
                place=literal_column(f"'{Place.TAKEN.value}'", Text),
                admitted_at=bindparam("now", type_=BigInteger),
                due_at=bindparam("now", type_=BigInteger),
                changed=self._backend.change_number(),
            )
        )
        self._mine = (
            select(runs.c.queue, func.count())
            .where(runs.c.owner == bindparam("worker"))
            .group_by(runs.c.queue)
        )

    def _waiting_in(self, here: ColumnElement[bool]) -> Any:
        runs = self._backend.tables.runs
        order = runs.c.priority, runs.c.created_at, runs.c.id
        before = (
            bindparam("priority", type_=BigInteger),
            bindparam("created_at", type_=BigInteger),
            bindparam("id", type_=Text),
        )
        return (
            select(runs.c.id, runs.c.queue_key, runs.c.priority, runs.c.created_at)
            .where(here, text(QUEUED), is_served(self._backend), tuple_(*order) > tuple_(*before))
            .order_by(*order)
            .limit(bindparam("most", type_=BigInteger))
            .with_for_update(of=runs, skip_locked=True)
        )


class QueueQueries:
    """What can be asked about queues, each over a connection of its own."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        queues, runs = backend.tables.queues, backend.tables.runs
        self._all = select(*(queues.c[name] for name in QUEUE_COLUMNS)).order_by(queues.c.name)
        waits = or_(text(QUEUED), text(KEYED))
        self._counts = (
            select(
                runs.c.queue,
                func.sum(case((waits, 1), else_=0)),
                func.min(case((waits, runs.c.created_at))),
                func.sum(case((text(TAKEN), 1), else_=0)),
            )
            .where(or_(waits, text(TAKEN)))
            .group_by(runs.c.queue)
        )
        after = runs.c.queue > bindparam("after", type_=Text)
        self._next_names = [select(func.min(runs.c.queue)).where(text(who), after) for who in (QUEUED, KEYED)]

    def all(self) -> list[QueueRow]:
        """Return the queues that somebody has made."""
        with self._backend.reads.connect() as connection:
            return [QueueRow(*row) for row in connection.execute(self._all)]

    def counts(self) -> dict[str, QueueCount]:
        """Count who waits and who has a place, by queue."""
        with self._backend.reads.connect() as connection:
            return {
                name: QueueCount(int(queued), oldest, int(taken))
                for name, queued, oldest, taken in connection.execute(self._counts)
            }

    def crowded(self) -> list[str]:
        """Name the queues in which runs wait, whoever made them: one look into an index for each."""
        found = set[str]()
        with self._backend.reads.connect() as connection:
            for next_name in self._next_names:
                after = ""
                while (name := connection.execute(next_name, {"after": after}).scalar()) is not None:
                    found.add(after := name)
        return sorted(found)
