"""The statements about workers and their hold on runs: register, claim, take over, leave."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    CTE,
    BigInteger,
    Boolean,
    ColumnElement,
    Connection,
    Select,
    Text,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal_column,
    null,
    or_,
    select,
    true,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate
from sqlalchemy.sql.selectable import FromClause, SelectBase

from amends.persistence.backend import Backend, id_listing, listing
from amends.persistence.columns import literals
from amends.persistence.lease import Lease
from amends.persistence.loading import Loading
from amends.persistence.once import once
from amends.persistence.process import this_process
from amends.persistence.records import OTHER_CODE, Loaded, Serves, Status
from amends.persistence.rows import SEEN_COLUMNS, WORKER_COLUMNS, Reader, worker
from amends.persistence.tables import CLAIMABLE

SUSPECT: Final = 2
"""From so many losses on, a run is held to kill its worker, and is claimed only alone."""
_FORGOTTEN_AFTER_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Registered:
    """A worker's hold on its row: the epoch, the number from which its batches count on, since when."""

    epoch: int
    batch: int
    at: int


class Leases:
    """Register, claim, take over, leave; each method belongs into one transaction."""

    def __init__(self, backend: Backend, reader: Reader) -> None:
        self._backend = backend
        self._reader = reader
        self._loading = Loading(backend, reader)
        once(self, backend.tables, self._prepare_claim, self._prepare_release, self._prepare_workers)

    def register(
        self, connection: Connection, worker_id: str, serves: Serves, now: int, lease_ms: int
    ) -> Registered:
        """Enter a worker under an epoch above all it had; what it held before goes back.

        Runs parked for want of a handler that the worker has are due again.
        """
        old = connection.execute(self._epoch_of, {"worker": worker_id}).first()
        epoch = max(now, 1) if old is None else max(now, old.epoch + 1)
        batch = 0 if old is None else int(old.batch)
        row = {
            "epoch": epoch,
            "batch": batch,
            "lease_until": now + lease_ms,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "process": this_process(),
            "started_at": now,
            "serves": _shown(serves),
            "dead_at": None,
        }
        if old is None:
            connection.execute(self._enter, row | {"id": worker_id})
        else:
            connection.execute(self._reenter, row | {"worker": worker_id})
            self._release(connection, [worker_id], now)
        connection.execute(self._unpark, served(serves) | {"now": now})
        return Registered(epoch, batch, now)

    def serve(self, connection: Connection, lease: Lease, serves: Serves, now: int) -> None:
        """Note what a worker serves by now; what was parked for want of a handler of its is due again."""
        connection.execute(self._reenter, {"worker": lease.worker, "serves": _shown(serves)})
        connection.execute(self._unpark, served(serves) | {"now": now})

    def claim(
        self,
        connection: Connection,
        lease: Lease,
        serves: Serves,
        limit: int,
        now: int,
        without: Collection[str] = (),
    ) -> list[Loaded]:
        """Take due runs that the worker can run and load them, those due the longest first.

        Runs of the queues in `without` are left.
        """
        given = takes(serves, without) | {"worker": lease.worker, "now": now, "room": limit}
        return self._claimed(connection, connection.execute(self._claim, given).all(), lease)

    def claim_of(
        self,
        connection: Connection,
        lease: Lease,
        serves: Serves,
        saga: tuple[str, str],
        limit: int,
        now: int,
        without: Collection[str] = (),
    ) -> list[Loaded]:
        """Do what `claim` does, for one saga in one version; runs that were lost twice are left."""
        given = takes(serves, without) | {"worker": lease.worker, "now": now, "room": limit}
        rows = connection.execute(self._claim_of, given | {"of_saga": saga[0], "of_version": saga[1]}).all()
        return self._claimed(connection, rows, lease)

    def _claimed(self, connection: Connection, rows: Sequence[Any], lease: Lease) -> list[Loaded]:
        if not rows:
            return []
        runs = sorted((self._reader.run(row) for row in rows), key=lambda run: (run.due_at or 0, run.id))
        return self._loading.loaded(connection, runs, lease.epoch)

    def hand_on_the_dead(
        self, connection: Connection, worker_id: str, now: int, *, steady: bool = True
    ) -> tuple[list[str], int]:
        """Mark the workers that are dead, then hand their runs on; return both: the workers, how many runs.

        A worker in the middle of a batch has its row locked and isn't dead. Unless the clock is `steady`, the
        end of a lease says nothing: the others haven't renewed theirs since it was set.
        """
        seen = [worker(row) for row in connection.execute(self._alive, {"worker": worker_id})]
        dead = [row for row in seen if (steady and row.lease_until < now) or self._backend.vanished(row)]
        if not dead:
            connection.execute(self._forget, {"before": now - _FORGOTTEN_AFTER_MS})
            return [], 0
        names = listing(("id", "lease_until"), ((row.id, row.lease_until) for row in dead))
        marked = list(connection.execute(self._lock_dead, {"dead": names}).scalars())
        connection.execute(self._mark_dead, {"ids": id_listing(marked), "now": now})
        return marked, self._release(connection, marked, now)

    def leave(self, connection: Connection, worker_id: str, epoch: int, now: int) -> None:
        """Give the lease back, and with it what the worker still holds: nobody knows what became of that."""
        left = connection.execute(self._leave, {"worker": worker_id, "old_epoch": epoch}).first()
        if left is not None:
            self._release(connection, [worker_id], now)

    def batch_of(self, connection: Connection, worker_id: str) -> tuple[int, int] | None:
        """Return the last batch that was committed for the worker, and when it was registered."""
        row = connection.execute(self._epoch_of, {"worker": worker_id}).first()
        return None if row is None else (row.batch, row.started_at)

    def _release(self, connection: Connection, workers: Collection[str], now: int) -> int:
        given = {"ids": id_listing(workers), "now": now}
        result = connection.execute(self._hand_on, given)
        return result.rowcount

    def _prepare_claim(self) -> None:
        runs = self._backend.tables.runs
        held = runs.alias("held")
        due = self._due()
        suspect_held = exists().where(held.c.owner == bindparam("worker"), held.c.lost >= SUSPECT)
        suspect = (
            due.where(runs.c.lost >= SUSPECT, ~suspect_held)
            .order_by(runs.c.due_at)
            .limit(literal_column("1"))
            .with_for_update(skip_locked=True)
            .cte("suspect")
        )
        room = (
            bindparam("room", type_=BigInteger) - select(func.count()).select_from(suspect).scalar_subquery()
        )
        healthy = self._healthy(due, room)
        self._claim = self._taking(union_all(select(suspect.c.id), select(healthy.c.id)))
        # Not `=`: so only the index by saga has the order that is asked for, and PostgreSQL takes it.
        named = bindparam("of_saga", type_=Text)
        of_saga = (
            (runs.c.saga >= named) & (runs.c.saga <= named) & (runs.c.version == bindparam("of_version"))
        )
        room_of = bindparam("room", type_=BigInteger)
        some = self._healthy(due.where(of_saga).order_by(runs.c.saga), room_of)
        self._claim_of = self._taking(select(some.c.id))

    def _healthy(self, due: Select[tuple[str]], room: ColumnElement[int]) -> CTE:
        runs = self._backend.tables.runs
        oldest = due.where(runs.c.lost < SUSPECT).order_by(runs.c.due_at).limit(room)
        return oldest.with_for_update(skip_locked=True).cte("healthy")

    def _taking(self, ids: SelectBase) -> ReturningUpdate[Any]:
        runs = self._backend.tables.runs
        return (
            update(runs)
            .where(runs.c.id.in_(ids))
            .values(owner=bindparam("worker"), changed=self._backend.change_number())
            .returning(*(runs.c[name] for name in SEEN_COLUMNS))
        )

    def _due(self) -> Select[tuple[str]]:
        runs = self._backend.tables.runs
        return select(runs.c.id).where(claimable(self._backend), runs.c.due_at <= bindparam("now"))

    def _prepare_release(self) -> None:
        runs = self._backend.tables.runs
        self._hand_on = (
            update(runs)
            .where(self._backend.among(runs.c.owner, "ids"))
            .values(
                owner=null(),
                due_at=bindparam("now"),
                lost=runs.c.lost + literal_column("1", BigInteger),
                changed=self._backend.change_number(),
            )
        )
        self._unpark = (
            update(runs)
            .where(
                literals("status", [Status.PARKED]),
                runs.c.needs.is_not(None),
                _needs_met(self._backend),
                or_(runs.c.cause.is_not(None), is_served(self._backend)),
            )
            .values(
                status=case((runs.c.cause.is_(None), Status.OPEN.value), else_=Status.COMPENSATING.value),
                due_at=bindparam("now"),
                changed=self._backend.change_number(),
            )
        )

    def _prepare_workers(self) -> None:
        workers = self._backend.tables.workers
        me = workers.c.id == bindparam("worker")
        self._epoch_of = (
            select(workers.c.epoch, workers.c.batch, workers.c.started_at).where(me).with_for_update()
        )
        self._enter = workers.insert()
        self._reenter = update(workers).where(me)
        self._leave = (
            delete(workers).where(me, workers.c.epoch == bindparam("old_epoch")).returning(workers.c.id)
        )
        self._alive = select(*(workers.c[name] for name in WORKER_COLUMNS)).where(
            workers.c.id != bindparam("worker"), workers.c.dead_at.is_(None)
        )
        dead = self._backend.listed("dead", {"id": Text, "lease_until": BigInteger})
        self._lock_dead = (
            select(workers.c.id)
            .where(tuple_(workers.c.id, workers.c.lease_until).in_(select(dead.c.id, dead.c.lease_until)))
            .with_for_update(skip_locked=True)
        )
        self._mark_dead = (
            update(workers)
            .where(self._backend.among(workers.c.id, "ids"))
            .values(epoch=workers.c.epoch + 1, lease_until=0, dead_at=bindparam("now"))
        )
        self._forget = delete(workers).where(workers.c.dead_at < bindparam("before"))


def claimable(backend: Backend) -> ColumnElement[bool]:
    """Say that a run has no owner and can be run by who gives the parameters of `takes`."""
    runs = backend.tables.runs
    served = is_served(backend)
    undoing = runs.c.status == Status.COMPENSATING.value
    return (
        runs.c.owner.is_(None)
        & literals("status", CLAIMABLE)
        & _in_queues(backend)
        & or_(runs.c.needs.is_(None) & served, _needs_met(backend) & or_(undoing, served))
    )


def _in_queues(backend: Backend) -> ColumnElement[bool]:
    """Say that a worker takes runs of this queue."""
    queue = backend.tables.runs.c.queue
    only, without = (backend.listed(name, {"id": Text}) for name in ("only", "without"))
    any_queue = bindparam("any_queue", type_=Boolean) == true()
    return or_(any_queue, queue.in_(select(only.c.id))) & queue.not_in(select(without.c.id))


def is_served(backend: Backend, runs: FromClause | None = None) -> ColumnElement[bool]:
    """Say that a worker serves a run's saga in its version; `runs` may be another name of the table."""
    runs = backend.tables.runs if runs is None else runs
    sagas = backend.listed("sagas", {"name": Text, "version": Text})
    return tuple_(runs.c.saga, runs.c.version).in_(select(sagas.c.name, sagas.c.version))


def _needs_met(backend: Backend) -> ColumnElement[bool]:
    """Say that a worker has what a run needs: the handler, or other code than it was parked under."""
    needs = backend.tables.runs.c.needs
    handlers = backend.listed("handlers", {"name": Text})
    other_code = needs.startswith(literal_column(f"'{OTHER_CODE}'", Text))
    return or_(needs.in_(select(handlers.c.name)), other_code & (needs != bindparam("code", type_=Text)))


def takes(serves: Serves, without: Collection[str] = ()) -> dict[str, str | int | bool]:
    """Return the parameters of `claimable`, for a worker that takes no runs of the queues in `without`."""
    return served(serves) | {
        "any_queue": serves.only is None,
        "only": id_listing(sorted(serves.only or ())),
        "without": id_listing(sorted(without)),
    }


def served(serves: Serves) -> dict[str, str | int | bool]:
    """Return the parameters that say what a worker can run."""
    return {
        "sagas": listing(("name", "version"), sorted(serves.sagas)),
        "handlers": listing(("name",), ((name,) for name in sorted(serves.handlers))),
        "code": serves.code,
    }


def _shown(serves: Serves) -> str:
    sagas: Sequence[tuple[str, str]] = sorted(serves.sagas)
    told: dict[str, Any] = {"sagas": sagas, "handlers": sorted(serves.handlers)}
    if serves.only is not None:
        told["queues"] = sorted(serves.only)
    return json.dumps(told)
