"""A claim: places are given in queues, then due runs are taken, as far as the queues let a worker."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TypeVar

from sqlalchemy import Connection

from amends.persistence.backend import Backend
from amends.persistence.lease import Lease
from amends.persistence.leases import Leases
from amends.persistence.queueing import Queueing
from amends.persistence.records import Claimed, Loaded, Serves

N = TypeVar("N", str, tuple[str, str])


class Turns:
    """Who comes first: each time another one. `crowded` tells that the last claim filled its room."""

    def __init__(self) -> None:
        self.crowded = False
        self._turn = 0

    def of(self, names: Collection[N]) -> list[N]:
        """Give the names in their order, beginning with another one than last time."""
        ordered = sorted(names)
        self._turn += 1
        first = self._turn % len(ordered) if ordered else 0
        return ordered[first:] + ordered[:first]


class Claiming:
    """Claims of one writer; each belongs into one transaction."""

    def __init__(self, backend: Backend, leases: Leases, sender: str) -> None:
        self._backend = backend
        self._leases = leases
        self._queueing = Queueing(backend)
        self._sender = sender
        self._turns = Turns()

    def claim(
        self,
        connection: Connection,
        lease: Lease,
        serves: Serves,
        limit: int,
        now: int,
        queues: Collection[str],
    ) -> Claimed:
        """Give places in `queues`, then claim up to `limit` runs.

        What has a place and isn't claimed here is due for others: they are told.
        """
        if not queues:
            return Claimed(self._oldest(connection, lease, serves, limit, now))
        admission = self._queueing.admit(connection, self._turns.of(queues), serves, limit, now)
        bounds = self._queueing.bounded(connection, lease.worker)
        runs = self._oldest(connection, lease, serves, limit, now, bounds)
        full = []
        for name, most in bounds.items():
            found = self._claim_of(connection, lease, serves, name, min(most, limit - len(runs)), now)
            runs += found
            if len(found) >= most:
                full.append(name)
        if admission.count > sum(run.run.admitted_at == now for run in runs):
            self._backend.announce(connection, self._sender)
        return Claimed(runs, frozenset(full), admission.waiting, admission.again_at)

    def _oldest(
        self,
        connection: Connection,
        lease: Lease,
        serves: Serves,
        limit: int,
        now: int,
        without: Collection[str] = (),
    ) -> list[Loaded]:
        """Claim what is due the longest; where more is due than there is room, each saga gets its share."""
        runs: list[Loaded] = []
        if self._turns.crowded:
            share = max(limit // max(len(serves.sagas), 1), 1)
            for saga in self._turns.of(serves.sagas):
                most = min(share, limit - len(runs))
                if most > 0:
                    runs += self._leases.claim_of(connection, lease, serves, saga, most, now, without)
        if len(runs) < limit:
            runs += self._leases.claim(connection, lease, serves, limit - len(runs), now, without)
        self._turns.crowded = len(runs) >= limit
        return runs

    def _claim_of(
        self, connection: Connection, lease: Lease, serves: Serves, queue: str, most: int, now: int
    ) -> list[Loaded]:
        if most <= 0 or (serves.only is not None and queue not in serves.only):
            return []
        return self._leases.claim(connection, lease, replace(serves, only=frozenset([queue])), most, now)
