"""Every statement of a batch, each for all of its runs at once, however many they are."""

from __future__ import annotations

import functools
import time
from collections.abc import Collection, Sequence

from sqlalchemy import (
    BigInteger,
    Boolean,
    Connection,
    LargeBinary,
    Text,
    Update,
    bindparam,
    case,
    delete,
    false,
    func,
    literal_column,
    null,
    or_,
    select,
    true,
    update,
)

from amends.persistence.approvals import Approvals
from amends.persistence.attributes import Attributes
from amends.persistence.backend import Backend, Columns, id_listing, listing
from amends.persistence.batch import Known, Rows, RunState, asked, decide
from amends.persistence.beaten import overlooking
from amends.persistence.clock import Clock
from amends.persistence.lease import Lease
from amends.persistence.once import once
from amends.persistence.prepared import Prepared
from amends.persistence.queue_records import Place
from amends.persistence.queueing import Queueing
from amends.persistence.records import Cause, Receipt, Status, Write
from amends.persistence.removing import Removing
from amends.persistence.rows import AUDIT_COLUMNS, ENTRY_COLUMNS, INBOX_COLUMNS
from amends.persistence.scheduling import ScheduleStore


class Store:
    """The statements that write; each method is one statement, `write` is one batch."""

    def __init__(self, backend: Backend, clock: Clock) -> None:
        self._backend = backend
        self._clock = clock
        once(
            self,
            backend.tables,
            self._prepare_parts,
            self._prepare_queries,
            self._prepare_rows,
            self._prepare_changes,
            self._prepare_messages,
        )

    def write(
        self,
        connection: Connection,
        writes: Sequence[Write],
        lease: Lease | None,
        *,
        sender: str = "",
        wait: bool = False,
    ) -> list[Receipt | None]:
        """Write what can be written of `writes` and tell of each what became of it; None: try it later.

        `lease` is None where there is none, or it is lost: what is owned is refused then. With `wait` nothing
        is put off: the runs that others have locked are waited for.
        """
        epoch = None if lease is None else lease.epoch
        ask = asked(writes, None if lease is None else lease.worker, epoch)
        known = Known()
        if ask.starts:
            known.won = self._backend.insert_runs(connection, list(ask.starts.values()))
        if ask.runs:
            known.runs = self.lock_runs(connection, ask.runs, wait=wait)
            missing = ask.runs.difference(known.runs)
            if missing and not wait:
                known.locked = self.existing_runs(connection, missing)
        if overlooked := overlooking(writes, known.runs):
            for run_id, kind, number in self._unread_kinds(
                connection, {"ids": id_listing(sorted(overlooked))}
            ):
                known.runs[run_id].unread[kind] = number
        if ask.keys:
            known.keys = self.existing_keys(connection, ask.keys)
        if ask.schedules:
            known.schedules = self._schedules.lock(connection, ask.schedules)
        if ask.approvals:
            known.approvals = self._approvals.states(connection, ask.approvals)
        receipts, rows = decide(writes, known, epoch=epoch, now=self._clock.now())
        self._write_rows(connection, rows)
        if rows.news or rows.shown:
            self._backend.announce(connection, sender, shown=not rows.news)
        return receipts

    def ask_the_time(self, connection: Connection) -> None:
        """Look at the server's clock, where there is one."""
        if self._time is not None:
            before = time.monotonic()
            self._clock.observe(self._time(connection, {})[0][0], before, time.monotonic())

    def fence(self, connection: Connection, lease: Lease) -> bool:
        """Renew the lease and note the batch's number; False if the lease, or an earlier batch, is lost."""
        before = time.monotonic()
        rows = self._fence(
            connection,
            {
                "worker": lease.worker,
                "old_epoch": lease.epoch,
                "last_batch": lease.after,
                "new_batch": lease.batch,
                "until": self._clock.now() + lease.lease_ms,
            },
        )
        if not rows:
            return False
        server: int | None = rows[0][0]
        if server is not None:
            self._clock.observe(server, before, time.monotonic())
        return True

    def lock_runs(
        self, connection: Connection, ids: Collection[str], *, wait: bool = False
    ) -> dict[str, RunState]:
        """Lock runs and tell their states; unless `wait`, leave out those that others have locked."""
        query = self._wait_for_runs if wait else self._lock_runs
        found = query(connection, {"ids": id_listing(sorted(ids))})
        return {
            run_id: RunState(
                Status(status), None if cause is None else Cause(cause), mail, removed=bool(removed)
            )
            for run_id, status, cause, mail, removed in found
        }

    def existing_runs(self, connection: Connection, ids: Collection[str]) -> set[str]:
        """Tell which of the runs exist."""
        return {run_id for (run_id,) in self._existing_runs(connection, {"ids": id_listing(ids)})}

    def existing_keys(
        self, connection: Connection, keys: Collection[tuple[str, str]]
    ) -> set[tuple[str, str]]:
        """Tell which of the (run, key) pairs are in an inbox."""
        found = self._existing_keys(connection, {"keys": listing(("run_id", "key"), keys)})
        return {(run_id, key) for run_id, key in found}

    def _write_rows(self, connection: Connection, rows: Rows) -> None:
        for many, cells in (
            (self._unstart, rows.unstarted),
            (self._add_entries, rows.entries),
            (self._add_inbox, rows.inbox),
            (self._mark_taken, rows.taken),
            (self._change_runs, list(rows.changes.values())),
            (self._progress, rows.progressed),
            (self._wake, list(rows.woken.values())),
            (self._count_mail, list(rows.mails.values())),
            (self._add_audit, rows.audit),
            (self._approvals.ask, rows.asks),
            (self._approvals.vote, rows.votes),
            (self._approvals.close, rows.closes),
            (self._approvals.revoke, rows.revokes),
            (self._attributes.show, rows.shown),
            (self._attributes.unset, rows.unset),
            (self._attributes.set, rows.attributes),
        ):
            if cells:
                many(connection, cells)
        if rows.schedules:
            self._schedules.write(connection, rows.schedules)
        for change in rows.queues:
            self._queueing.change(connection, change, self._clock.now())
        for removal in rows.removals:
            self._removing.remove(connection, removal, self._clock.now())

    def _prepare_parts(self) -> None:
        self._schedules = ScheduleStore(self._backend)
        self._queueing = Queueing(self._backend)
        self._removing = Removing(self._backend)
        self._approvals = Approvals(self._backend)
        self._attributes = Attributes(self._backend)

    def _prepare_queries(self) -> None:
        runs, inbox, workers = (
            self._backend.tables.runs,
            self._backend.tables.inbox,
            self._backend.tables.workers,
        )
        server_time = self._backend.server_time()
        prepared = functools.partial(Prepared, self._backend.writes)
        self._time = None if server_time is None else prepared(select(server_time))
        self._fence = prepared(
            update(workers)
            .where(
                workers.c.id == bindparam("worker"),
                workers.c.epoch == bindparam("old_epoch"),
                workers.c.batch >= bindparam("last_batch"),
            )
            .values(batch=bindparam("new_batch"), lease_until=bindparam("until"))
            .returning(null() if server_time is None else server_time)
        )
        wanted = self._backend.among(runs.c.id, "ids")
        removed = runs.c.removed_at.is_not(None)
        states = select(runs.c.id, runs.c.status, runs.c.cause, runs.c.mail, removed).where(wanted)
        self._lock_runs = prepared(states.with_for_update(skip_locked=True))
        self._wait_for_runs = prepared(states.order_by(runs.c.id).with_for_update())
        self._existing_runs = prepared(select(runs.c.id).where(wanted))
        unread = self._backend.among(inbox.c.run_id, "ids") & (inbox.c.taken == false())
        self._unread_kinds = prepared(
            select(inbox.c.run_id, inbox.c.kind, func.max(inbox.c.number))
            .where(unread)
            .group_by(inbox.c.run_id, inbox.c.kind)
        )
        keys = self._backend.listed("keys", {"run_id": Text, "key": Text})
        self._existing_keys = prepared(
            select(inbox.c.run_id, inbox.c.key).join_from(
                keys, inbox, (inbox.c.run_id == keys.c.run_id) & (inbox.c.key == keys.c.key)
            )
        )

    def _prepare_rows(self) -> None:
        backend, tables = self._backend, self._backend.tables
        self._add_entries = backend.insert(tables.journal, ENTRY_COLUMNS)
        self._add_inbox = backend.insert(tables.inbox, INBOX_COLUMNS)
        self._add_audit = backend.insert(tables.audit, AUDIT_COLUMNS)
        inbox = tables.inbox
        self._mark_taken = backend.many(
            {"run_id": Text, "number": BigInteger},
            lambda cells: (
                update(inbox)
                .where(
                    inbox.c.run_id == cells["run_id"],
                    inbox.c.number == cells["number"],
                    inbox.c.taken == false(),
                )
                .values(taken=true())
            ),
        )

    def _prepare_changes(self) -> None:
        backend, runs = self._backend, self._backend.tables.runs

        def changed(cells: Columns) -> Update:
            whole = {name: cells[name] for name in _WHOLE}
            return (
                update(runs)
                .where(runs.c.id == cells["id"])
                .values(
                    whole
                    | {
                        "owner": case((cells["keeps_owner"], runs.c.owner), else_=null()),
                        "lost": case((cells["keeps_lost"], runs.c.lost), else_=_ZERO),
                        "changed": backend.change_number(),
                    }
                )
            )

        self._change_runs = backend.many(_CHANGE_COLUMNS, changed)
        self._progress = backend.many(
            {"id": Text},
            lambda cells: (
                update(runs).where(runs.c.id == cells["id"], runs.c.lost > _ZERO).values(lost=_ZERO)
            ),
        )
        self._unstart = backend.many({"id": Text}, lambda cells: delete(runs).where(runs.c.id == cells["id"]))

    def _prepare_messages(self) -> None:
        backend, runs = self._backend, self._backend.tables.runs
        self._wake = backend.many(
            {"id": Text, "status": Text, "now": BigInteger, "forgiven": Boolean},
            lambda cells: (
                update(runs)
                .where(runs.c.id == cells["id"])
                .values(
                    status=cells["status"],
                    due_at=cells["now"],
                    ended_at=null(),
                    needs=null(),
                    lost=case((cells["forgiven"], _ZERO), else_=runs.c.lost),
                    changed=backend.change_number(),
                )
            ),
        )
        sleeps = runs.c.owner.is_(None)
        self._count_mail = backend.many(
            {"id": Text, "mail": BigInteger, "now": BigInteger, "frees": Boolean},
            lambda cells: (
                update(runs)
                .where(runs.c.id == cells["id"])
                .values(
                    mail=cells["mail"],
                    needs=case((cells["frees"], null()), else_=runs.c.needs),
                    due_at=case(
                        (
                            sleeps
                            & or_(runs.c.due_at.is_(None), runs.c.due_at > cells["now"])
                            # What waits for a place goes on waiting, whoever writes to it, but to end it.
                            & or_(runs.c.place.is_(None), runs.c.place == _TAKEN, cells["frees"]),
                            cells["now"],
                        ),
                        else_=runs.c.due_at,
                    ),
                    # A run that a worker holds doesn't look different for a message that it hasn't taken.
                    changed=case((sleeps, backend.change_number()), else_=runs.c.changed),
                )
            ),
        )


_ZERO = literal_column("0", BigInteger)
_TAKEN = literal_column(f"'{Place.TAKEN.value}'", Text)
_WHOLE = ("status", "cause", "result", "error", "ended_at", "due_at", "needs", "waits_for", "undoable")
_CHANGE_COLUMNS = {
    "id": Text,
    "status": Text,
    "cause": Text,
    "result": LargeBinary,
    "error": LargeBinary,
    "ended_at": BigInteger,
    "due_at": BigInteger,
    "needs": Text,
    "waits_for": Text,
    "undoable": Boolean,
    "keeps_owner": Boolean,
    "keeps_lost": Boolean,
}
