"""The reads, each one query over a connection of its own."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection, Select, bindparam, false, func, literal_column, null, or_, select, tuple_
from sqlalchemy.exc import DBAPIError

from amends.persistence.approval_records import ApprovalRow, ApprovalStatus
from amends.persistence.approvals import listed, votes_of
from amends.persistence.attribute_records import Searched
from amends.persistence.attributes import having
from amends.persistence.backend import Backend, id_listing
from amends.persistence.changes import Changes
from amends.persistence.columns import literals
from amends.persistence.encoding import storable
from amends.persistence.errors import DatabaseUnavailable
from amends.persistence.faults import words_of
from amends.persistence.leases import claimable, takes
from amends.persistence.loading import Loading
from amends.persistence.records import AuditRow, EntryRow, InboxRow, Loaded, RunRow, Serves, Status, WorkerRow
from amends.persistence.rows import (
    AUDIT_COLUMNS,
    ENTRY_COLUMNS,
    INBOX_COLUMNS,
    SEEN_COLUMNS,
    WORKER_COLUMNS,
    Reader,
)
from amends.persistence.rows import worker as worker_of
from amends.persistence.standing import Standing, standing_of, standing_query

STREAMED = 1_000
"""So many rows of a long answer are fetched at a time."""


class Queries:
    """What can be asked of the log."""

    def __init__(self, backend: Backend, reader: Reader) -> None:
        self._backend = backend
        self._reader = reader
        self._loading = Loading(backend, reader)
        self._changes = Changes(backend, reader)
        tables = backend.tables
        runs, journal, inbox, audit = tables.runs, tables.journal, tables.inbox, tables.audit
        self._runs = select(*(runs.c[name] for name in SEEN_COLUMNS)).where(runs.c.removed_at.is_(None))
        self._run = self._runs.where(runs.c.id == bindparam("run"))
        self._is_child = runs.c.parent == bindparam("parent")
        self._settled = self._runs.where(
            backend.among(runs.c.id, "ids"),
            or_(runs.c.ended_at.is_not(None), runs.c.status == Status.PARKED.value),
        )
        self._journal = (
            select(*(journal.c[name] for name in ENTRY_COLUMNS))
            .where(journal.c.run_id == bindparam("run"))
            .order_by(journal.c.seq)
        )
        above = runs.alias("above")
        going = select(above.c.id).where(above.c.ended_at.is_(None))
        self._unended = (
            select(*(null() if name == "payload" else journal.c[name] for name in ENTRY_COLUMNS))
            .join_from(runs, journal, journal.c.run_id == runs.c.id)
            .where(or_(runs.c.ended_at.is_(None), runs.c.root.in_(going)))
            # By the run's own id: SQLite then begins with the runs, and looks only at the journals of those.
            .order_by(runs.c.id, journal.c.seq)
        )
        self._unread = (
            select(*(inbox.c[name] for name in INBOX_COLUMNS))
            .join_from(inbox, runs, inbox.c.run_id == runs.c.id)
            .where(runs.c.owner == bindparam("worker"), inbox.c.taken == false())
            .order_by(inbox.c.run_id, inbox.c.number)
        )
        self._audit = (
            select(*(audit.c[name] for name in AUDIT_COLUMNS))
            .where(audit.c.run_id == bindparam("run"))
            .order_by(audit.c.number)
        )
        self._standing = standing_query(tables)
        workers = tables.workers
        self._workers = (
            select(*(workers.c[name] for name in WORKER_COLUMNS))
            .where(workers.c.dead_at.is_(None))
            .order_by(workers.c.id)
        )
        self._holding = (
            select(runs.c.owner, func.count()).where(runs.c.owner.is_not(None)).group_by(runs.c.owner)
        )
        timed = claimable(backend) & runs.c.due_at.is_not(None)
        first = select(runs.c.due_at).where(timed).order_by(runs.c.due_at)
        # A literal: for a parameter PostgreSQL plans as if many rows were wanted, and sorts them all.
        self._next_due = first.limit(literal_column("1"))

    def run_on(self, connection: Connection, run_id: str) -> RunRow | None:
        """Return a run as it is seen over a caller's connection, or None if there is none of this id."""
        row = connection.execute(self._run, {"run": run_id}).first()
        return None if row is None else self._reader.run(row)

    def run(self, run_id: str) -> RunRow | None:
        """Return a run, or None if there is none of this id."""
        if not storable(run_id):
            return None
        with self._reading() as connection:
            row = connection.execute(self._run, {"run": run_id}).first()
        return None if row is None else self._reader.run(row)

    def runs(
        self,
        *,
        status: Status | None = None,
        saga: str | None = None,
        since: int | None = None,
        limit: int = 100,
        after: str | None = None,
        parent: str | None = None,
        attributes: Sequence[Searched] = (),
    ) -> list[RunRow]:
        """List runs, newest first: created at or after `since` (milliseconds), behind run `after`."""
        if not all(storable(text) for text in (saga, after, parent) if text is not None):
            return []
        query, given = self._listed(status, saga, since, after, attributes)
        if parent is not None:
            query, given["parent"] = query.where(self._is_child), parent
        with self._reading() as connection:
            rows = connection.execute(query.limit(limit), given).all()
        return [self._reader.run(row) for row in rows]

    def journal(self, run_id: str) -> list[EntryRow]:
        """Return a run's journal, in order."""
        if not storable(run_id):
            return []
        with self._reading() as connection:
            rows = connection.execute(self._journal, {"run": run_id}).all()
        return [self._reader.entry(row) for row in rows]

    def unended(self) -> Generator[EntryRow, None, None]:
        """Give the journals of all runs that haven't ended, and of those below them, without payloads.

        The rows come as they are asked for, all of one moment.
        """
        options = {"stream_results": True, "yield_per": STREAMED}
        with (
            told(),
            self._backend.snapshot() as connection,
            connection.execute(self._unended, execution_options=options) as rows,
        ):
            for row in rows:
                yield EntryRow(*row)

    def unread(self, worker: str, after: Mapping[str, int] | None = None) -> list[InboxRow]:
        """Return the inbox rows that wait for runs of `worker`, but for those up to `after[run]`."""
        known = after or {}
        with self._reading() as connection:
            rows = connection.execute(self._unread, {"worker": worker}).all()
        return [self._reader.inbox(row) for row in rows if row.number > known.get(row.run_id, 0)]

    def ended(self, ids: Collection[str]) -> list[RunRow]:
        """Return those of the runs that have ended or are parked."""
        given = {"ids": id_listing(run_id for run_id in ids if storable(run_id))}
        with self._reading() as connection:
            rows = connection.execute(self._settled, given).all()
        return [self._reader.run(row) for row in rows]

    def next_due(self, serves: Serves, without: Collection[str] = ()) -> int | None:
        """Return when the next run is due that `serves` could claim, but for those of some queues."""
        with self._reading() as connection:
            return connection.execute(self._next_due, takes(serves, without)).scalar()

    def moment(self) -> str:
        """Return what is seen now, for `changed`."""
        with self._reading() as connection:
            return self._changes.moment(connection)

    def changed(self, since: str, ids: Collection[str] | None = None) -> tuple[list[RunRow], str]:
        """Return the runs that were changed since a moment, without payloads, and the moment of the answer.

        With `ids`, only of these runs.
        """
        with self._reading() as connection:
            return self._changes.since(connection, since, ids)

    def seen(self, ids: Collection[str]) -> list[RunRow]:
        """Return these runs as they are, without payloads."""
        with self._reading() as connection:
            return self._changes.of(connection, [run_id for run_id in ids if storable(run_id)])

    def lately(self, most: int) -> list[RunRow]:
        """Return the runs that changed last, at most so many, without payloads."""
        with self._reading() as connection:
            return self._changes.lately(connection, most)

    def workers(self) -> list[WorkerRow]:
        """Return the workers that aren't known to be dead."""
        with self._reading() as connection:
            return [worker_of(row) for row in connection.execute(self._workers)]

    def holding(self) -> dict[str, int]:
        """Count the runs that workers hold, by worker."""
        with self._reading() as connection:
            return {worker: int(count) for worker, count in connection.execute(self._holding)}

    def standing(self) -> Standing:
        """Return what stands in the log and needs somebody."""
        with self._reading() as connection:
            return standing_of(connection.execute(self._standing).one())

    def load(self, run_id: str) -> Loaded | None:
        """Return a run with its journal and unread inbox, all of one moment."""
        if not storable(run_id):
            return None
        with told(), self._backend.snapshot() as connection:
            row = connection.execute(self._run, {"run": run_id}).first()
            if row is None:
                return None
            return self._loading.loaded(connection, [self._reader.run(row)])[0]

    def approvals(
        self,
        *,
        id: str | None = None,
        status: ApprovalStatus | None = None,
        run_id: str | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> list[ApprovalRow]:
        """List approvals with their votes, the oldest first, behind approval `after`."""
        if not all(storable(text) for text in (id, run_id, after) if text is not None):
            return []
        approvals = self._backend.tables.approvals
        query = listed(self._backend)
        if id is not None:
            query = query.where(approvals.c.id == id)
        if status is not None:
            query = query.where(literals("status", [status]))
        if run_id is not None:
            query = query.where(approvals.c.run_id == run_id)
        if after is not None:
            last = approvals.alias("last")
            place = select(last.c.created_at).where(last.c.id == after).scalar_subquery()
            query = query.where(tuple_(approvals.c.created_at, approvals.c.id) > tuple_(place, after))
        with self._reading() as connection:
            rows = connection.execute(query.limit(limit)).all()
            given = {"ids": id_listing(row.id for row in rows)}
            votes = connection.execute(votes_of(self._backend), given).all() if rows else []
        return [self._reader.approval(row, [v for v in votes if v.approval_id == row.id]) for row in rows]

    def audit(self, run_id: str) -> list[AuditRow]:
        """Return the audit trail of a run, in order."""
        if not storable(run_id):
            return []
        with self._reading() as connection:
            return [AuditRow(*row) for row in connection.execute(self._audit, {"run": run_id})]

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with told(), self._backend.reads.connect() as connection:
            yield connection

    def _listed(
        self,
        status: Status | None,
        saga: str | None,
        since: int | None,
        after: str | None,
        attributes: Sequence[Searched],
    ) -> tuple[Select[tuple[object, ...]], dict[str, str | int]]:
        runs = self._backend.tables.runs
        listed = having(self._backend, self._runs, attributes)
        query, given = listed.newest_first(), dict[str, str | int]()
        if status is not None:
            query = query.where(literals("status", [status]))
        if saga is not None:
            query, given["saga"] = query.where(runs.c.saga == bindparam("saga")), saga
        if since is not None:
            query, given["since"] = query.where(listed.created_at >= bindparam("since")), since
        if after is not None:
            last = runs.alias("last")
            place = select(last.c.created_at).where(last.c.id == bindparam("after")).scalar_subquery()
            query = query.where(tuple_(listed.created_at, listed.run_id) < tuple_(place, bindparam("after")))
            given["after"] = after
        return query, given


@contextmanager
def told() -> Iterator[None]:
    """Tell of the driver's errors in our own words."""
    try:
        yield
    except DBAPIError as error:
        raise DatabaseUnavailable(f"The database can't be read now: {words_of(error)}. Ask again.") from error
