"""Putting a coordinator together, and taking it apart again."""

from __future__ import annotations

import asyncio
import functools
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from amends.persistence.database import Database
from amends.persistence.records import RunChange
from amends.persistence.writer import Writer
from amends.sagas import outbox
from amends.sagas.aftermath import Aftermath
from amends.sagas.driver import Driver
from amends.sagas.executor import Executor
from amends.sagas.held import Hooks
from amends.sagas.planning import Plan
from amends.sagas.room import Room
from amends.sagas.scheduler import Scheduler, everything_defined
from amends.sagas.telemetry import Telemetry, telemetry_of
from amends.sagas.waits import Settled, Waits
from amends.sagas.watching import Watching
from amends.tracing.gauges import Source

LONGEST_RELEASE = 5.0
"""Seconds that closing waits, at least, for the runs to be released."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What an open coordinator consists of."""

    database: Database
    writer: Writer
    driver: Driver
    scheduler: Scheduler
    waits: Waits
    watching: Watching
    worker: str | None
    room: Room
    telemetry: Telemetry | None
    lease_good: Callable[[], bool]


_LEAVING: set[asyncio.Task[None]] = set()
"""Parts that nobody wants any more are taken apart by these tasks; a loop alone wouldn't keep them."""


async def opened(plan: Plan) -> Parts:
    """Put the parts together; whoever is cancelled meanwhile leaves nothing open behind, after a while.

    Raises the database's errors.
    """
    opening = asyncio.create_task(assemble(plan))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        leaving = asyncio.create_task(_unwanted(opening))
        _LEAVING.add(leaving)
        leaving.add_done_callback(_LEAVING.discard)
        raise


async def _unwanted(opening: asyncio.Task[Parts]) -> None:
    with suppress(Exception):
        await dismantle(await opening, 0)


async def assemble(plan: Plan) -> Parts:
    """Open the database, register the worker and connect everything. Raises the database's errors."""
    loop = asyncio.get_running_loop()
    database = await asyncio.to_thread(plan.open_database)
    worker = worker_id() if plan.work else None
    late: list[Parts] = []
    notifiers = plan.settings.notifiers
    serves = functools.partial(everything_defined, plan.sagas, plan.queues, notifies=bool(notifiers))
    telemetry = telemetry_of(plan.trace, plan.trace_mode)
    observer = None if telemetry is None else telemetry.metrics
    try:
        writer = await asyncio.to_thread(
            functools.partial(database.writer, observer=observer),
            worker,
            serves(),
            lambda thunk: loop.call_soon_threadsafe(_hear, thunk, late),
            lambda: _each(late, lambda parts: parts.scheduler.news()),
            lambda: _each(late, _fenced),
        )
    except BaseException:
        database.close()
        raise
    waits = Waits()
    driver = Driver(
        writer, now=database.now, limits=plan.limits, worker=worker or "", hooks=_hooks(late, waits)
    )
    driver.notifiers = tuple(notifiers)
    driver.telemetry = telemetry
    if telemetry is not None:
        held = None if worker is None else lambda: driver.holding
        telemetry.watch(Source(database.namespace, database.standing, database.now, held))
    lease_s = plan.lease_ms / 1000

    def lease_good() -> bool:
        return time.monotonic() - writer.renewed < lease_s

    post = functools.partial(outbox.post, database, None if telemetry is None else telemetry.unanchored)
    room = Room(database.guests, database.transactions, database.now, post)
    if worker is not None:
        driver.executor = Executor(
            plan.settings,
            now=database.now,
            report=driver.attempted,
            lease_good=lease_good,
            room=room,
        )
    scheduler = Scheduler(
        database,
        writer,
        driver,
        waits,
        worker=worker,
        max_running=plan.max_running,
        serves=serves,
        look_after_ms=max(plan.lease_ms // 5, 100),
    )
    watching = Watching(database, scheduler.read)
    scheduler.looked = watching.news
    scheduler.died = Aftermath(database, scheduler.read, telemetry).tell
    late.append(
        Parts(database, writer, driver, scheduler, waits, watching, worker, room, telemetry, lease_good)
    )
    return late[0]


async def dismantle(parts: Parts, grace: float) -> None:
    """Let attempts end, release every run, give the lease back, close the database."""
    driver = parts.driver
    driver.close()
    await parts.watching.close()
    await parts.scheduler.close()
    cut_short = [] if driver.executor is None else await driver.executor.drain(grace)
    driver.cut_all(cut_short)
    with suppress(TimeoutError):
        # A database that can't be written keeps nobody: the leases of the runs run out by themselves.
        await asyncio.wait_for(driver.wait_idle(), max(grace, LONGEST_RELEASE))
    parts.waits.close()
    if parts.telemetry is not None:
        # While the lease is held: should the process die here, others tell anew what it hasn't got out.
        await asyncio.to_thread(parts.telemetry.close)
    await asyncio.to_thread(parts.writer.close)
    await parts.room.close()
    await asyncio.to_thread(parts.database.close)


def worker_id() -> str:
    """Make a name for this worker that nobody else has."""
    return f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


def _hear(thunk: Callable[[], None], late: Iterable[Parts]) -> None:
    """Take what the writer has to tell: something was committed, here or elsewhere."""
    thunk()
    _each(late, lambda parts: parts.watching.news())


def _each(late: Iterable[Parts], act: Callable[[Parts], None]) -> None:
    """Do something with the parts once they are together."""
    for parts in late:
        act(parts)


def _fenced(parts: Parts) -> None:
    """Drop what belongs to others now, and look for what is due: it may be the same runs."""
    parts.driver.fenced()
    parts.scheduler.claim()


def _hooks(late: Iterable[Parts], waits: Waits) -> Hooks:
    def settled(run_id: str, change: RunChange) -> None:
        waits.wake(run_id, Settled(change.status, change.cause, change.result, change.error))
        _each(late, lambda parts: parts.scheduler.ended(run_id))

    def released(due_at: int | None) -> None:
        _each(late, lambda parts: parts.scheduler.released(due_at))

    def reload(run_id: str, epoch: int) -> None:
        _each(late, lambda parts: parts.scheduler.reload(run_id, epoch))

    def told() -> None:
        _each(late, lambda parts: parts.scheduler.news())

    return Hooks(settled, released, reload, told)
