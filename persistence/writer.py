"""The group commit: all that is ready while one transaction is under way goes together into the next.

A thread of its own, so that neither a blocked event loop nor a cancelled task touches what is being written,
and so that the lease is renewed as long as the process lives. What was asked for is answered once its fate is
known.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from amends.persistence.backend import Backend
from amends.persistence.claiming import Claiming
from amends.persistence.clock import Clock
from amends.persistence.codec import Codec
from amends.persistence.delivery import Delivery, answer
from amends.persistence.encoding import Encoder
from amends.persistence.errors import DatabaseUnavailable, WriterClosed
from amends.persistence.faults import Fault
from amends.persistence.lease import Lease
from amends.persistence.leases import Leases
from amends.persistence.observer import Observed, Observer
from amends.persistence.patience import Abandoned, Patience
from amends.persistence.queued import Batch, Blocked, Close, Errand, Item, Submitted, Thunk
from amends.persistence.records import Claimed, Receipt, Serves, Write, Written
from amends.persistence.rows import Reader
from amends.persistence.store import Store
from amends.persistence.tenure import Tenure
from amends.persistence.transactor import Refused, Transactor

_log: Final = logging.getLogger("amends.persistence")
_POSTPONED_S: Final = 0.02
_FIRST_TIME_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class _Outcome:
    receipts: Sequence[Receipt | None]
    after: Sequence[Thunk]
    lease: Lease | None


class Writer:
    """Write turns, starts and messages of this process; claim runs and keep the lease on them.

    Made by `Database.writer`. `deliver` is given one thunk a batch, to be called wherever the application
    wants its callbacks (`loop.call_soon_threadsafe`); `on_news` is called after commits of others, `on_lost`
    once when the lease is lost. `observer` is told of commits in the writer's thread.
    """

    def __init__(
        self,
        backend: Backend,
        clock: Clock,
        codec: Codec,
        *,
        worker: str | None,
        serves: Serves,
        deliver: Callable[[Callable[[], None]], object],
        on_news: Thunk,
        on_lost: Thunk,
        lease_ms: int,
        observer: Observer | None = None,
    ) -> None:
        self._observed = Observed(observer)
        self._backend = backend
        self._clock = clock
        self._serves = serves
        self._on_lost = on_lost
        self._store = Store(backend, clock)
        self._leases = Leases(backend, Reader(codec))
        self._encoder = Encoder(codec)
        self._queue: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self._postponed: list[Submitted] = []
        self._errands: list[Errand] = []
        self._blocked = Blocked()
        self._closed = False
        self._ready = threading.Event()
        name = f"amends writer {worker or ''}".strip()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._patience = Patience(name)
        self._delivery = Delivery(deliver, on_news)
        self._sender = f"{worker or ''}/{id(self)}/{time.time_ns()}"
        self._claiming = Claiming(backend, self._leases, self._sender)
        self._tenure = Tenure(
            backend, clock, self._leases, self._store, worker=worker, sender=self._sender, lease_ms=lease_ms
        )
        self._lock = None if worker is None else backend.lock_worker(worker)
        self._watch = backend.watch(self._sender, self._delivery.news, self._delivery.shown)
        self._transactor = Transactor(backend, self._watch, self._patience)

    @property
    def epoch(self) -> int | None:
        """Return the epoch under which the worker is registered; None for a writer without a worker."""
        return self._tenure.epoch

    @property
    def renewed(self) -> float:
        """Return when (`time.monotonic`) the lease was asked for that is the last known to be granted."""
        return self._tenure.renewed

    def start(self) -> None:
        """Register the worker and begin to work; returns once it is registered.

        Raises:
            DatabaseUnavailable: the worker couldn't be registered within half a minute.
        """
        self._thread.start()
        if not self._ready.wait(_FIRST_TIME_S) or self._closed:
            self.close(0)
            raise DatabaseUnavailable(
                "The worker couldn't be registered in the database within 30 s: the log says why."
            )

    def submit(self, write: Write, done: Callable[[Receipt], object]) -> None:
        """Have `write` written with the next batch; `done` is told what became of it. Never blocks."""
        self._check_open()
        if write.epoch is None and (write.taken or (write.start is None and (write.entries or write.change))):
            raise ValueError(
                "A run's journal and row are written by its owner alone: give the epoch of its claim."
            )
        self._queue.put(Submitted(write, done))

    def claim(
        self,
        limit: int,
        serves: Serves,
        done: Callable[[Claimed], object],
        queues: Collection[str] = (),
    ) -> None:
        """Claim up to `limit` due runs that can be served, loaded, those due the longest first.

        In `queues` places are given before that, as far as there are any. What can be served is noted in the
        worker's row, for others to see, whenever it has changed. Of the runs that were lost twice or more
        (they may kill their worker) at most one is claimed, and none while the worker holds another.
        """

        def run(connection: Connection, lease: Lease) -> Thunk:
            now = self._clock.now()
            if serves != self._serves:
                self._leases.serve(connection, lease, serves, now)
            claimed = self._claiming.claim(connection, lease, serves, limit, now, queues)
            return lambda: self._claimed(serves, len(claimed.runs), lambda: done(claimed))

        self._ask(Errand(run))

    def look_after_dead(self, done: Callable[[tuple[list[str], int]], object]) -> None:
        """Hand on the runs of workers that are dead; `done` is told which those were, and how many runs."""

        def run(connection: Connection, lease: Lease) -> Thunk:
            steady = self._clock.steady_for() * 1000 > lease.lease_ms
            now = self._clock.now()
            dead, runs = self._leases.hand_on_the_dead(connection, lease.worker, now, steady=steady)
            if runs:
                self._backend.announce(connection, self._sender)
            return lambda: self._bury(dead, lambda: done((dead, runs)))

        self._ask(Errand(run))

    def close(self, timeout: float = 10.0) -> bool:
        """Write what is queued, give the lease back and end the thread; False if `timeout` seconds passed.

        What couldn't be written by then is left out, and its callbacks are never called: their runs go to
        whoever takes over.
        """
        if not self._closed:
            self._closed = True
            self._queue.put(Close())
            self._patience.hurry()
        if not self._thread.is_alive() or self._thread is threading.current_thread():
            return True
        self._thread.join(timeout)
        if not self._thread.is_alive():
            return True
        self._patience.abandon()
        self._thread.join(1.0)
        return False

    def forget(self) -> None:
        """Refuse everything in a forked child: the thread stayed with the parent."""
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise WriterClosed("This writer is closed, or was opened before this process was forked.")

    def _ask(self, errand: Errand) -> None:
        self._check_open()
        if self._tenure.worker is None:
            raise ValueError("a writer without a worker claims nothing")
        self._queue.put(errand)

    def _work(self) -> None:
        try:
            self._tenure.enter(self._transactor, self._patience, self._serves)
            self._ready.set()
            ending = False
            while not ending or self._postponed or self._blocked:
                batch, last = self._gather()
                ending = ending or last
                if batch is not None:
                    self._commit(batch)
                self._patience.check()
            self._tenure.leave(self._transactor, self._patience)
        except Abandoned:
            _log.warning("%s: closed before everything was written", self._thread.name)
        except BaseException:
            _log.exception("%s: ended by an error of its own", self._thread.name)
            raise
        finally:
            self._closed = True
            self._ready.set()
            self._watch.close()
            self._transactor.close()
            if self._lock is not None:
                self._lock.release()

    def _gather(self) -> tuple[Batch | None, bool]:
        """Wait for something to do, or for the time to renew the lease; tell whether it was the last."""
        pause = min(self._watch.poll(), self._blocked.seconds(time.monotonic()))
        if self._errands:
            pause = 0.0
        elif self._postponed:
            pause = min(pause, _POSTPONED_S)
        try:
            item = self._queue.get(timeout=min(pause, self._tenure.until_heartbeat()))
        except queue.Empty:
            waiting = self._postponed or self._errands or self._blocked.seconds(time.monotonic()) <= 0
            if not waiting and self._tenure.until_heartbeat() > 0:
                return None, False
            return self._begin(), False
        batch = self._begin()
        return batch, self._fill(batch, item)

    def _begin(self) -> Batch:
        batch = Batch(self._postponed, self._errands)
        self._postponed, self._errands = [], []
        return batch

    def _fill(self, batch: Batch, item: Item) -> bool:
        last = False
        while True:
            if isinstance(item, Submitted):
                self._add(batch, item)
            elif isinstance(item, Errand):
                batch.errands.append(item)
            else:
                # What another thread was putting into the queue meanwhile stands behind it.
                last = True
            if batch.is_full() and not last:
                return False
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return last

    def _add(self, batch: Batch, item: Submitted) -> None:
        """Put a write into the batch, encoded; one that can't be is answered at once."""
        try:
            write = self._encoder.encoded(item.write)
        except Exception as error:  # noqa: BLE001 - a codec is the application's: it may raise anything
            self._delivery.hand([answer(item.done, Receipt(Written.REFUSED, str(error)))])
            return
        batch.add(item if write is item.write else Submitted(write, item.done))

    def _commit(self, batch: Batch) -> None:
        """Write the batch; if a row is refused, in halves, until what is refused is alone."""
        # What met a lock goes alone, so that nobody waits for it.
        parts = [[item] for item in self._blocked.due(time.monotonic())]
        parts.append(batch.writes)
        errands = batch.errands
        while parts:
            part = parts.pop()
            with_errands, errands = (errands, []) if not parts or not part else ([], errands)
            try:
                outcome = self._transact(part, with_errands)
            except Refused as refused:
                if part and with_errands:
                    # What an errand met must not be held against a write: it goes alone, and last.
                    errands = with_errands
                    parts.insert(0, [])
                parts.extend(self._split(part, refused))
                if not part:
                    self._errands = with_errands
                    self._patience.wait(refused.words)
                continue
            self._settle(part, outcome, with_errands)

    def _split(self, part: list[Submitted], refused: Refused) -> list[list[Submitted]]:
        """Return the halves, the first last, or settle the one write that is refused."""
        if len(part) > 1:
            middle = len(part) // 2
            return [part[middle:], part[:middle]]
        for item in part:
            if refused.fault is Fault.BLOCKED:
                self._blocked.add(item, time.monotonic())
            else:
                self._delivery.hand([answer(item.done, Receipt(Written.REFUSED, refused.words))])
        return []

    def _transact(self, part: list[Submitted], errands: Sequence[Errand]) -> _Outcome:
        writes = [item.write for item in part]

        def work(connection: Connection, lease: Lease | None) -> _Outcome:
            receipts = self._store.write(connection, writes, lease, sender=self._sender) if writes else []
            after = [errand.run(connection, lease) for errand in errands] if lease is not None else []
            return _Outcome(receipts, after, lease)

        began = time.monotonic()
        outcome = self._transactor.run(self._tenure.fence, work, self._tenure.was_committed)
        self._observed.committed(len(part), time.monotonic() - began)
        if outcome.lease is not None:
            self._tenure.confirm(outcome.lease)
        return outcome

    def _settle(self, part: list[Submitted], outcome: _Outcome, errands: list[Errand]) -> None:
        """Tell everybody what became of their writes."""
        answered: list[Thunk] = []
        for item, receipt in zip(part, outcome.receipts, strict=True):
            if receipt is None:
                self._postponed.append(item)
            else:
                answered.append(answer(item.done, receipt))
        if answered:
            self._delivery.hand(answered)
        for after in outcome.after:
            after()
        if outcome.lease is None and self._tenure.worker is not None:
            _log.warning("%s: the lease was lost; its runs went to others", self._thread.name)
            self._observed.lease_lost()
            self._errands = errands
            self._tenure.enter(self._transactor, self._patience, self._serves)
            self._delivery.hand([self._on_lost])

    def _claimed(self, serves: Serves, runs: int, told: Thunk) -> None:
        self._serves = serves
        self._observed.claimed(runs)
        self._delivery.hand([told])

    def _bury(self, dead: Sequence[str], told: Thunk) -> None:
        for worker in dead:
            self._backend.bury(worker)
        self._delivery.hand([told])
