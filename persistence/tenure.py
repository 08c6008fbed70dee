"""A worker's hold on its row: the epoch, the numbers of its batches, how fresh its lease is."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final, TypeVar

from sqlalchemy import Connection

from amends.persistence.backend import Backend
from amends.persistence.clock import Clock
from amends.persistence.lease import Lease
from amends.persistence.leases import Leases, Registered
from amends.persistence.patience import Patience
from amends.persistence.records import Serves
from amends.persistence.store import Store
from amends.persistence.transactor import Refused, Transactor

Result = TypeVar("Result")
_CLOCK_S: Final = 60.0
_log: Final = logging.getLogger("amends.persistence")


class Tenure:
    """Register, fence each batch, read back which was the last, leave. A writer without a worker has none."""

    def __init__(
        self,
        backend: Backend,
        clock: Clock,
        leases: Leases,
        store: Store,
        *,
        worker: str | None,
        sender: str,
        lease_ms: int,
    ) -> None:
        self.worker = worker
        self.epoch: int | None = None
        self.renewed = time.monotonic()
        self._backend = backend
        self._clock = clock
        self._leases = leases
        self._store = store
        self._sender = sender
        self._lease_ms = lease_ms
        self._batch = 0
        self._confirmed = 0
        self._registered_at = 0
        self._looked_at_the_clock = time.monotonic()

    def enter(self, transactor: Transactor, patience: Patience, serves: Serves) -> None:
        """Register the worker under a new epoch, and tell the others; without a worker only connect."""
        worker = self.worker
        if worker is None:
            _durably(transactor, patience, lambda _connection, _opened: None)
            return

        def work(connection: Connection, _opened: None) -> tuple[Registered, float]:
            asked_at = time.monotonic()
            registered = self._leases.register(connection, worker, serves, self._clock.now(), self._lease_ms)
            self._backend.announce(connection, self._sender)
            return registered, asked_at

        registered, self.renewed = _durably(transactor, patience, work)
        if registered.batch < self._confirmed:
            _log.warning(
                "%s: the database has lost what it had acknowledged, after a fail-over or from a backup: the "
                "last %d batches. What runs did in them is done again, under the same keys",
                worker,
                self._confirmed - registered.batch,
            )
        self.epoch = registered.epoch
        self._batch = self._confirmed = registered.batch
        self._registered_at = registered.at

    def fence(self, connection: Connection) -> Lease | None:
        """Renew the lease in a batch's transaction; None if it is lost, or there is none.

        It counts as lost, too, where the database has lost a batch: what is known here isn't true there.
        """
        if self.worker is None or self.epoch is None:
            if time.monotonic() - self._looked_at_the_clock > _CLOCK_S:
                self._store.ask_the_time(connection)
                self._looked_at_the_clock = time.monotonic()
            return None
        self._batch += 1
        asked_at = time.monotonic()
        lease = Lease(self.worker, self.epoch, self._batch, self._confirmed, self._lease_ms, asked_at)
        return lease if self._store.fence(connection, lease) else None

    def confirm(self, lease: Lease) -> None:
        """Take that a batch was committed under a lease."""
        self.renewed = lease.asked_at
        self._confirmed = lease.batch

    def was_committed(self, connection: Connection, lease: Lease | None) -> bool:
        """Read back the batch's number; without a lease everything is idempotent: write it again."""
        if lease is None:
            return False
        return self._leases.batch_of(connection, lease.worker) == (lease.batch, self._registered_at)

    def until_heartbeat(self) -> float:
        """Return the seconds until the lease has to be renewed."""
        if self.worker is None:
            return 60.0
        return max(self.renewed + self._lease_ms / 3000 - time.monotonic(), 0.0)

    def leave(self, transactor: Transactor, patience: Patience) -> None:
        """Give the lease back, and the runs that are still held."""
        worker, epoch = self.worker, self.epoch
        if worker is None or epoch is None:
            return

        def work(connection: Connection, _opened: None) -> None:
            self._leases.leave(connection, worker, epoch, self._clock.now())
            self._backend.announce(connection, self._sender)

        _durably(transactor, patience, work)


def _durably(
    transactor: Transactor, patience: Patience, work: Callable[[Connection, None], Result]
) -> Result:
    """Do what may be done twice without harm, until it is done."""
    while True:
        try:
            return transactor.run(_nothing, work, lambda _connection, _opened: False)
        except Refused as refused:
            patience.wait(refused.words)


def _nothing(_connection: Connection) -> None:
    return None
