"""A database that holds a log: opened once per process, asked by queries, written by a writer."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import replace
from weakref import WeakSet

from sqlalchemy import Connection, Engine, select
from sqlalchemy.pool import Pool

from amends.persistence import migrate as migrating
from amends.persistence.approval_records import ApprovalRow, ApprovalStatus
from amends.persistence.attribute_records import Searched
from amends.persistence.backend import Backend
from amends.persistence.clock import Clock, GivenClock, ServerClock, SystemClock
from amends.persistence.codec import Codec, PlainCodec
from amends.persistence.encoding import Encoder
from amends.persistence.guests import Guests
from amends.persistence.joining import Joining
from amends.persistence.observer import Observer
from amends.persistence.opening import backend_for
from amends.persistence.queries import Queries
from amends.persistence.queueing import QueueQueries
from amends.persistence.records import (
    AuditRow,
    EntryRow,
    InboxRow,
    Loaded,
    Receipt,
    RunRow,
    Serves,
    Status,
    WorkerRow,
    Write,
)
from amends.persistence.removing import RemovalQueries
from amends.persistence.rows import Reader
from amends.persistence.scheduling import ScheduleQueries
from amends.persistence.standing import Standing, namespace_of
from amends.persistence.store import Store
from amends.persistence.transactions import Transactions
from amends.persistence.writer import Writer

LEASE_MS = 10_000
"""How long a worker may be silent before its runs are handed on, unless told otherwise."""


class Database:
    """A log in a database. `open` it; every other method blocks for one query.

    `schedules` is what can be asked about schedules, `queues` about queues,
    `removals` about runs that are removed or may be.

    ```python
    database = Database.open("sqlite:///orders.db")
    writer = database.writer("worker-1", serves, loop.call_soon_threadsafe, on_news, on_lost)
    writer.submit(Write(run_id="order-1", start=NewRun(...)), print)
    ```
    """

    def __init__(self, backend: Backend, clock: Clock, codec: Codec, lease_ms: int) -> None:
        self._backend = backend
        self._clock = clock
        self._codec = codec
        self._lease_ms = lease_ms
        self._queries = Queries(backend, Reader(codec))
        self.schedules = ScheduleQueries(backend, Reader(codec))
        self.queues = QueueQueries(backend)
        self.removals = RemovalQueries(backend)
        self._store = Store(backend, clock)
        self._encoder = Encoder(codec)
        self._joining = Joining(backend)
        self.transactions = Transactions(backend.tables.transactions, codec)
        self._writers: WeakSet[Writer] = WeakSet()
        _open.add(self)

    @classmethod
    def open(
        cls,
        url: str,
        *,
        schema: str = "amends",
        migrate: bool = True,
        clock: Callable[[], int] | None = None,
        codec: Codec | None = None,
        lease_ms: int = LEASE_MS,
    ) -> Database:
        """Open the log at `url`, made or upgraded if need be.

        `schema` is the log's schema on PostgreSQL and its tables' prefix on SQLite; `clock` replaces the
        database's clock (milliseconds); with `migrate=False` the tables must be there already.

        Raises:
            UnsupportedDatabase: amends can't use this kind of database, version or driver.
            DatabaseUnavailable: it can't be reached.
            DatabaseReadOnly: it can't be written.
            DatabaseNotReady: the tables are missing or older than this code, and `migrate` is False.
            DatabaseNewer: the tables were made by newer code.
        """
        backend = backend_for(url, schema, lease_ms)
        try:
            backend.prepare()
            if migrate:
                migrating.upgrade(backend)
            else:
                migrating.check(backend)
            return cls(backend, _clock(backend, clock), codec or PlainCodec(), lease_ms)
        except BaseException:
            _dispose(backend)
            raise

    @property
    def engine(self) -> Engine:
        """Return the engine for the application's own reads and transactions."""
        return self._backend.engine

    @property
    def namespace(self) -> str:
        """Return the name of the log: of its database, and of its schema or its tables' prefix there."""
        return namespace_of(self._backend.engine.url.database, self._backend.tables)

    def now(self) -> int:
        """Return milliseconds of database time."""
        return self._clock.now()

    def writer(
        self,
        worker_id: str | None,
        serves: Serves,
        deliver: Callable[[Callable[[], None]], object],
        on_news: Callable[[], object],
        on_lost: Callable[[], object],
        *,
        observer: Observer | None = None,
    ) -> Writer:
        """Start a writer, registered as a worker unless `worker_id` is None; `observer` is told of commits.

        Raises:
            WorkerNameTaken: another process on this machine works under this name.
            DatabaseUnavailable: the worker couldn't be registered within half a minute.
        """
        writer = Writer(
            self._backend,
            self._clock,
            self._codec,
            worker=worker_id,
            serves=serves,
            deliver=deliver,
            on_news=on_news,
            on_lost=on_lost,
            lease_ms=self._lease_ms,
            observer=observer,
        )
        writer.start()
        self._writers.add(writer)
        return writer

    def join(self, connection: Connection, writes: Sequence[Write]) -> list[Receipt]:
        """Make unowned `writes` part of the caller's transaction; they are seen when it commits.

        `connection` leads to this database, over whatever driver. A receipt tells what will have become of
        its write; the caller's transaction stays usable, whatever goes wrong.
        Raises `OtherDatabase`, `DatabaseUnavailable`.
        """
        self._joining.check(connection)
        encoded = [self._encoder.encoded(replace(write, epoch=None)) for write in writes]
        with self._joining.savepoint(connection):
            receipts = self._store.write(connection, encoded, None, wait=True)
        return [receipt for receipt in receipts if receipt is not None]

    def run_on(self, connection: Connection, run_id: str) -> RunRow | None:
        """Return a run as a caller's connection sees it, with what its transaction has written; or None.

        What follows is written: on SQLite the transaction could not, if somebody else did in between.
        Raises `OtherDatabase`, `DatabaseUnavailable`.
        """
        self._joining.check(connection)
        with self._joining.savepoint(connection):
            return self._queries.run_on(connection, run_id)

    @property
    def guests(self) -> Guests:
        """Return what steps' and callers' transactions need of the database."""
        return self._backend.guests

    def run(self, run_id: str) -> RunRow | None:
        """Return a run, or None if there is none of this id."""
        return self._queries.run(run_id)

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
        """List runs, newest first: created at or after `since` (milliseconds), behind run `after`.

        `parent` lists the child runs of one, `attributes` those that have all of these.
        """
        return self._queries.runs(
            status=status,
            saga=saga,
            since=since,
            limit=limit,
            after=after,
            parent=parent,
            attributes=attributes,
        )

    def moment(self) -> str:
        """Return what is seen now, for `changed`."""
        return self._queries.moment()

    def changed(self, since: str, ids: Collection[str] | None = None) -> tuple[list[RunRow], str]:
        """Return the runs that were changed since a moment, without payloads, and the moment of the answer.

        With `ids`, only of these runs. A change whose transaction was open at a moment is found by the next.
        """
        return self._queries.changed(since, ids)

    def seen(self, ids: Collection[str]) -> list[RunRow]:
        """Return these runs as they are, without payloads."""
        return self._queries.seen(ids)

    def lately(self, most: int) -> list[RunRow]:
        """Return the runs that changed last, at most so many, without payloads."""
        return self._queries.lately(most)

    def journal(self, run_id: str) -> list[EntryRow]:
        """Return a run's journal, in order."""
        return self._queries.journal(run_id)

    def unended(self) -> Generator[EntryRow, None, None]:
        """Give the journals of all runs that haven't ended, and of those below them, without payloads."""
        return self._queries.unended()

    def unread(self, worker_id: str, after: Mapping[str, int] | None = None) -> list[InboxRow]:
        """Return the inbox rows that wait for the worker's runs, but for those up to `after[run]`."""
        return self._queries.unread(worker_id, after)

    def ended(self, ids: Collection[str]) -> list[RunRow]:
        """Return those of the runs that have ended or are parked."""
        return self._queries.ended(ids)

    def next_due(self, serves: Serves, without: Collection[str] = ()) -> int | None:
        """Return when the next run is due that `serves` could claim, but for those of some queues."""
        return self._queries.next_due(serves, without)

    def workers(self) -> list[WorkerRow]:
        """Return the workers that aren't known to be dead."""
        return self._queries.workers()

    def holding(self) -> dict[str, int]:
        """Count the runs that workers hold, by worker."""
        return self._queries.holding()

    def standing(self) -> Standing:
        """Return what stands in the log and needs somebody: parked runs, approvals, what is owed."""
        return self._queries.standing()

    def load(self, run_id: str) -> Loaded | None:
        """Return a run with its journal and unread inbox, all of one moment."""
        return self._queries.load(run_id)

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
        return self._queries.approvals(id=id, status=status, run_id=run_id, limit=limit, after=after)

    def audit(self, run_id: str) -> list[AuditRow]:
        """Return the audit trail of a run, in order."""
        return self._queries.audit(run_id)

    def close(self) -> None:
        """Close the writers that are still open, then all connections."""
        for writer in list(self._writers):
            writer.close()
        _dispose(self._backend)
        _open.discard(self)

    def _forget(self) -> None:
        """Leave the parent's connections unused for ever: closing one would end the parent's session."""
        writers = list(self._writers)
        for writer in writers:
            writer.forget()
        for engine in (*self._backend.engines, *self._backend.guests.made):
            _inherited.append((engine.pool, writers))
            engine.dispose(close=False)


_open: WeakSet[Database] = WeakSet()
_inherited: list[tuple[Pool, list[Writer]]] = []


def _dispose(backend: Backend) -> None:
    for engine in backend.engines:
        engine.dispose()


def _forget_all() -> None:
    for database in list(_open):
        database._forget()  # noqa: SLF001 - of this module


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


def _clock(backend: Backend, given: Callable[[], int] | None) -> Clock:
    server_time = backend.server_time()
    if given is not None:
        return GivenClock(given)
    if server_time is None:
        return SystemClock()
    clock = ServerClock()
    with backend.reads.connect() as connection:
        before = time.monotonic()
        clock.observe(connection.execute(select(server_time)).scalar_one(), before, time.monotonic())
    return clock
