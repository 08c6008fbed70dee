"""The workers of a database as people see them, and what each of them serves."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from amends.persistence.records import Serves, WorkerRow
from amends.sagas.listing import moment


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker that isn't known to be dead; moments are aware, UTC.

    `holding` is how many runs it has in memory. `live` tells whether its lease is good: one that has been
    silent for longer is about to lose its runs to the others. `sagas` are the sagas that it serves, by
    `name@version`, `queues` the queues of which it takes runs, None for all.
    """

    id: str
    host: str
    pid: int
    started_at: dt.datetime
    lease_until: dt.datetime
    live: bool
    holding: int
    sagas: tuple[str, ...]
    queues: tuple[str, ...] | None


def seen(rows: Iterable[WorkerRow], holding: Mapping[str, int], now: int) -> list[Worker]:
    """Show workers, given how many runs each of them holds."""
    return [_seen(row, holding.get(row.id, 0), now) for row in rows]


def serves_of(worker: WorkerRow) -> Serves:
    """Give what a worker has told that it serves."""
    told = json.loads(worker.serves)
    only = told.get("queues")
    return Serves(
        frozenset(map(tuple, told.get("sagas", ()))),
        frozenset(told.get("handlers", ())),
        only=None if only is None else frozenset(only),
    )


def _seen(row: WorkerRow, holding: int, now: int) -> Worker:
    serves = serves_of(row)
    return Worker(
        row.id,
        row.host,
        row.pid,
        moment(row.started_at),
        moment(row.lease_until),
        row.lease_until >= now,
        holding,
        tuple(f"{name}@{version}" for name, version in sorted(serves.sagas)),
        None if serves.only is None else tuple(sorted(serves.only)),
    )
