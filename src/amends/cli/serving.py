"""Serving sagas until a signal comes, or until nothing is due."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import functools
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any, NoReturn

from amends.cli import logs, systemd
from amends.cli.modules import AnySaga
from amends.cli.output import write
from amends.cli.probes import Place, answering
from amends.cli.reading import shown
from amends.cli.traced import trace_if_asked
from amends.sagas.coordinator import Coordinator
from amends.sagas.garbage import collect_less_often
from amends.sagas.webhook_urls import Webhooks
from amends.story import words

LEFTOVERS = 3.0
"""Seconds that threads of the application get to end once everything is drained."""

SIGNALS = (signal.SIGINT, signal.SIGTERM)

log = logging.getLogger("amends.worker")


@dataclass(frozen=True, slots=True)
class Serving:
    """What a worker is to do, as typed."""

    url: str
    sagas: list[AnySaga]
    queues: list[str] | None
    until_idle: bool
    grace: float
    max_running: int
    max_steps: int
    threads: int
    log_level: str | None
    json_log: bool
    probes: Place | None
    webhooks: Webhooks | None

    def coordinator(self) -> Coordinator:
        """Make the coordinator that does it."""
        return Coordinator(
            self.url,
            sagas=self.sagas,
            queues=self.queues or None,
            max_running=self.max_running,
            max_steps=self.max_steps,
            threads=self.threads,
            grace=dt.timedelta(seconds=self.grace),
            webhooks=self.webhooks,
        )


class Stop:
    """The wish to stop, as signals bring it: the first one asks, a second one exits at once.

    Before the worker serves there is nothing to drain, so the first one exits at once too.
    """

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._wake: Callable[[], object] | None = None
        self.asked = False

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals over until the block ends."""
        before = {number: signal.signal(number, self._come) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def wait(self) -> None:
        """Wait until a signal has come."""
        come = asyncio.Event()
        self._wake = functools.partial(asyncio.get_running_loop().call_soon_threadsafe, come.set)
        await come.wait()

    def _come(self, number: int, _frame: FrameType | None) -> None:
        if self._wake is None or self.asked:
            leave_at_once(128 + number)
        self.asked = True
        log.info(
            "%s: no new steps; those under way have %s to end (again: exit at once)",
            signal.Signals(number).name,
            words.duration(round(self._grace * 1000)),
        )
        self._wake()


def serve(serving: Serving) -> None:
    """Run a worker. Raises what opening the database raises."""
    logs.set_up(serving.log_level, as_json=serving.json_log)
    trace_if_asked()
    stop = Stop(serving.grace)
    with stop.listening():
        collect_less_often()
        asyncio.run(_serve(serving, stop))


async def _serve(serving: Serving, stop: Stop) -> None:
    coordinator = serving.coordinator()
    with _probed(coordinator, serving.probes):
        async with coordinator, systemd.told():
            logs.written_by(coordinator.worker)
            stopping = asyncio.create_task(stop.wait())
            await asyncio.sleep(0)
            if serving.until_idle:
                await _until_idle(coordinator, stopping)
            else:
                write(_serves(coordinator, serving))
                await stopping
            stopping.cancel()
            systemd.tell("STOPPING=1")
    if stop.asked:
        log.info("stopped")
    _leave_behind()


@contextlib.contextmanager
def _probed(coordinator: Coordinator, place: Place | None) -> Iterator[None]:
    """Answer probes, if they are wanted, from before the database is opened until it is closed."""
    if place is None:
        yield
        return
    with answering(place, asyncio.get_running_loop(), coordinator.health) as port:
        log.info("probes are answered on port %d of %s: /live and /ready", port, place.host)
        yield


async def _until_idle(coordinator: Coordinator, stopping: asyncio.Task[None]) -> None:
    driving = asyncio.create_task(coordinator.run_until_idle())
    await asyncio.wait((driving, stopping), return_when=asyncio.FIRST_COMPLETED)
    if not driving.done():
        driving.cancel()
        return
    due = driving.result()
    now = round(dt.datetime.now(dt.UTC).timestamp() * 1000)
    write("nothing is due\n" if due is None else f"next due: {words.when(_ms(due), now)}\n")


def _ms(moment: dt.datetime) -> int:
    return round(moment.timestamp() * 1000)


def _serves(coordinator: Coordinator, serving: Serving) -> str:
    names = ", ".join(_label(saga) for saga in serving.sagas)
    queues = f", of the queues {', '.join(sorted(set(serving.queues)))}," if serving.queues else ""
    return f"worker {coordinator.worker} serves {names}{queues} on {shown(serving.url)}\n"


def _label(saga: Any) -> str:
    return saga.name if saga.version == "1" else f"{saga.name}@{saga.version}"


def _leave_behind() -> None:
    """Don't wait for ever for threads that nobody can stop: their runs have been handed on."""
    leaving = threading.Timer(LEFTOVERS, _give_up_on_threads)
    leaving.daemon = True
    leaving.start()


def _give_up_on_threads() -> None:
    log.warning("threads of steps are still busy; leaving them, their runs go on elsewhere")
    leave_at_once(0)


def leave_at_once(code: int) -> NoReturn:
    """End the process here and now; the database knows what was under way."""
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
