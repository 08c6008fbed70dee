"""What a worker does besides its runs: claims, mail, dead workers, and one wake-up for what is due next."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from amends.persistence.database import Database
from amends.persistence.errors import DatabaseUnavailable
from amends.persistence.records import Loaded, Serves
from amends.persistence.writer import Writer
from amends.sagas.alarm import Alarm
from amends.sagas.deployed import code_of
from amends.sagas.driver import Driver
from amends.sagas.fleet import serves_of
from amends.sagas.notices import NOTIFY
from amends.sagas.registry import HANDLERS, SAGAS
from amends.sagas.repeating import Repeating
from amends.sagas.saga import Saga
from amends.sagas.ticker import Ticker
from amends.sagas.waits import Settled, Waits

T = TypeVar("T")

log = logging.getLogger("amends")

CLAIM_AT_ONCE = 500
SLOW_POLL = 5.0
"""Seconds between two looks that nobody asked for: behind every notification stands a poll."""
AWAITED_POLL = 1.0


class Scheduler:
    """Brings runs to the driver: when they are due, when there is mail, when their worker has died.

    Each look at the database runs at most once at a time; asked for meanwhile, it runs once more after.
    `claiming` is how many places in memory are kept free for what is being claimed. `looked` is called
    whenever it is time to look at runs, `died` when workers were found dead: with the time when the lease of
    the first of them ended.
    """

    def __init__(
        self,
        database: Database,
        writer: Writer,
        driver: Driver,
        waits: Waits,
        *,
        worker: str | None,
        max_running: int,
        serves: Callable[[], Serves],
        look_after_ms: int,
    ) -> None:
        self._database = database
        self._writer = writer
        self._driver = driver
        self._waits = waits
        self._worker = worker
        self._max_running = max_running
        self._serves = serves
        self._look_after = look_after_ms / 1000
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="amends-read")
        self._alarm = Alarm(self._loop, database.now, self._rung)
        born = None if driver.telemetry is None else driver.telemetry.unanchored
        self._ticker = Ticker(database, writer, read=self.read, started=self.claim, born=born)
        self._next_due: int | None = None
        self._crowded = False
        self.claiming = 0
        self._claimed = 0
        self.looked: Callable[[], None] = _nobody
        self.died: Callable[[int], Awaitable[None]] = _nothing
        self._claims = Repeating(self._claim)
        self._mail = Repeating(self._read_mail)
        self._awaited = Repeating(self._read_awaited)
        self._dead = Repeating(self._look_after_dead)
        self._asking = Repeating(self._ask_for_queues)
        self._found: frozenset[str] = frozenset()
        self._again_at: int | None = None
        self._left = 0
        self._handles: list[asyncio.TimerHandle] = []
        self._reloads: set[asyncio.Task[None]] = set()
        self._closed = False

    def start(self) -> None:
        """Begin: claim what is due, and keep looking."""
        if self._worker is not None:
            self._every(self._look_after, self._dead.ask)
            self._every(SLOW_POLL, self._look_for_queues)
            self._every(SLOW_POLL, self.tick)
            self.claim()
            self.tick()
            self._dead.ask()
        self._every(AWAITED_POLL, self.look_for_awaited)

    def news(self) -> None:
        """Something was committed by somebody: due runs, mail, ends."""
        if self._closed:
            return
        if self._worker is not None:
            self.claim()
            self.look_for_mail()
            self._ticker.news()
        self.look_for_awaited()

    def tick(self) -> None:
        """Look which schedules are due."""
        if self._worker is not None and not self._closed:
            self._ticker.ask()

    def ended(self, run_id: str) -> None:
        """Note that a run has ended here: a place is free, and a schedule may have waited for it."""
        self.released(None)
        if self._worker is not None:
            self._ticker.ended(run_id)

    def claim(self) -> None:
        """Look for due runs."""
        if self._worker is not None and not self._closed:
            self._claims.ask()

    def released(self, due_at: int | None) -> None:
        """Note when a run that was released is due again; a place in memory is free now."""
        if self._closed:
            return
        self._left += 1
        self._due_next(due_at)
        if self._crowded:
            self.claim()

    def claim_if_unheld(self, run_id: str) -> None:
        """Look for due runs when one that was started here is not held here."""
        if not self._driver.holds(run_id):
            self.claim()

    def look_for_mail(self) -> None:
        """Look for messages to the runs that are held here."""
        if self._worker is not None and not self._closed:
            self._mail.ask()

    def look_for_awaited(self) -> None:
        """Look whether runs that somebody waits for have ended elsewhere; let those look who watch runs."""
        self.looked()
        if self._waits.awaited and not self._closed:
            self._awaited.ask()

    def reload(self, run_id: str, epoch: int) -> None:
        """Load a run again that this worker holds: what it wanted to write was beaten by a message."""
        reload = self._loop.create_task(self._reload(run_id, epoch))
        self._reloads.add(reload)
        reload.add_done_callback(self._reloads.discard)

    async def until_idle(self) -> int | None:
        """Claim and drive until nothing is due now. Gives the next due time in milliseconds, if any."""
        while True:
            await self._ticker.tick_all()
            left = self._left
            await self._claims.ask_and_wait()
            await self._driver.wait_idle()
            if self._crowded and self._left != left:
                # Who left memory made room for those who wait.
                continue
            if self._reloads:
                # Held by nobody for a moment, and not idle.
                await asyncio.wait(self._reloads)
                continue
            claimed = self._claimed
            # In this order: what is ticked in between is a run by the time that runs are looked at.
            next_tick = await self._ticker.next_due()
            next_run = await self.read(self._database.next_due, self._serves())
            dues = (next_tick, next_run, self._again_at)
            if self.claiming or self._driver.holding or self._claimed != claimed:
                # Claimed while that was read, a run is due for nobody any more, and not done.
                continue
            due = min((due for due in dues if due is not None), default=None)
            if due is None or due > self._database.now():
                return due

    async def read(self, function: Callable[..., T], *args: Any) -> T:
        """Call a blocking read of the database in a thread."""
        return await self._loop.run_in_executor(self._threads, function, *args)

    async def close(self) -> None:
        """Look no more; what is being looked at is waited for."""
        self._closed = True
        self._alarm.close()
        for handle in self._handles:
            handle.cancel()
        await self._ticker.close()
        for repeating in (self._claims, self._mail, self._awaited, self._dead, self._asking):
            await repeating.close()
        self._threads.shutdown(wait=False)

    def _rung(self, _key: str) -> None:
        self._next_due = None
        self.claim()

    def _due_next(self, due_at: int | None) -> None:
        if due_at is not None and (self._next_due is None or due_at < self._next_due):
            self._next_due = due_at
            self._alarm.set("claim", due_at)

    async def _claim(self) -> None:
        while not self._closed:
            room = min(CLAIM_AT_ONCE, self._max_running - self._driver.holding)
            self._crowded = room <= 0
            if room <= 0:
                return
            self.claiming = room
            serves = self._serves()
            self._driver.code = serves.code
            try:
                claimed = await self._answer(
                    functools.partial(self._writer.claim, room, serves, queues=self._queues_of(serves))
                )
            finally:
                self.claiming = 0
            self._claimed += len(claimed.runs)
            for run in claimed.runs:
                self._driver.adopt(run, run.epoch or 0)
            # Whoever ends here may leave a place to a run that waits for one.
            self._crowded = claimed.waiting or bool(claimed.full)
            self._again_at = claimed.again_at
            if not claimed.runs:
                self._due_next(claimed.again_at)
                self._due_next(await self.read(self._database.next_due, serves, claimed.full))
                return

    def _queues_of(self, serves: Serves) -> frozenset[str]:
        """Name the queues in which this worker gives places: those of its sagas, and others with runs."""
        named = serves.queues | self._found
        return named if serves.only is None else named & serves.only

    def _look_for_queues(self) -> None:
        """Look for due runs, and before that for queues that no saga names here: of older code, or newer."""
        if not self._closed:
            self._asking.ask()

    async def _ask_for_queues(self) -> None:
        self._found = frozenset(await self.read(self._database.queues.crowded))
        self.claim()

    async def _read_mail(self) -> None:
        if self._worker is None or not self._driver.holding:
            return
        for row in await self.read(self._database.unread, self._worker):
            self._driver.mail(row)

    async def _read_awaited(self) -> None:
        for row in await self.read(self._database.ended, self._waits.awaited):
            self._waits.wake(row.id, Settled(row.status, row.cause, row.result, row.error))

    async def _look_after_dead(self) -> None:
        workers = await self.read(self._database.workers)
        self._driver.elsewhere = [serves_of(worker) for worker in workers if worker.id != self._worker]
        dead, runs = await self._answer(self._writer.look_after_dead)
        if runs:
            self.claim()
        if dead:
            leases = [worker.lease_until for worker in workers if worker.id in dead]
            await self.died(min(leases, default=self._database.now()))

    async def _reload(self, run_id: str, epoch: int) -> None:
        loaded = await self._load(run_id)
        if loaded is not None and loaded.run.owner == self._worker:
            self._driver.adopt(loaded, epoch)
            self._mail.ask()

    async def _load(self, run_id: str) -> Loaded | None:
        """Load a run that this worker owns and nobody else would look at: the database is waited for."""
        while not self._closed:
            try:
                return await self.read(self._database.load, run_id)
            except DatabaseUnavailable as problem:
                log.warning("run %s is loaded later: %s", run_id, problem, extra={"run_id": run_id})
                await asyncio.sleep(AWAITED_POLL)
        return None

    async def _answer(self, call: Callable[[Callable[[T], None]], None]) -> T:
        future: asyncio.Future[T] = self._loop.create_future()

        def done(answer: T) -> None:
            if not future.done():
                future.set_result(answer)

        call(done)
        return await future

    def _every(self, seconds: float, function: Callable[[], None]) -> None:
        position = len(self._handles)

        def again() -> None:
            if not self._closed:
                self._handles[position] = self._loop.call_later(seconds, again)
                function()

        self._handles.append(self._loop.call_later(seconds, again))


def _nobody() -> None:
    """Nobody looks."""


async def _nothing(_since: int) -> None:
    """Nothing is to be told of workers that died."""


def everything_defined(
    sagas: Iterable[Saga[..., Any]] | None,
    queues: frozenset[str] | None = None,
    *,
    notifies: bool = False,
) -> Serves:
    """Give what this process can run: the given sagas, or all that are defined, and all compensations.

    With `queues`, only runs of these. People are told only by a worker that has notifiers.
    """
    served = SAGAS.all() if sagas is None else list(sagas)
    names = frozenset((saga.name, saga.version) for saga in served) - {NOTIFY}
    if notifies:
        names |= {NOTIFY}
    named = frozenset(saga.queue for saga in served if saga.queue is not None)
    return Serves(names, frozenset(HANDLERS.keys()), code_of(served), named, queues)
