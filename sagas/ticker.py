"""Starts the runs of schedules: one wake-up for the earliest occurrence of all, whoever is alive ticks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from dataclasses import replace
from typing import Any, Final, Protocol

from amends.persistence.database import Database
from amends.persistence.records import NewRun, Receipt, ScheduleRow, Write, Written
from amends.persistence.writer import Writer
from amends.sagas.alarm import Alarm
from amends.sagas.repeating import Repeating
from amends.sagas.ticks import Unreadable, tick, without_its_run

NEWS_S: Final = 1.0
"""News of others is no reason to look more often than once in so many seconds."""

log = logging.getLogger("amends")


class Reads(Protocol):
    """Calls a blocking function in a thread."""

    def __call__(self, function: Callable[..., Any], *args: Any) -> Awaitable[Any]:
        """Give its result."""
        ...


class Ticker:
    """Ticks the schedules whose time has come; `started` is called when there are new runs.

    `born` decides which trace a run belongs to, where runs are traced.
    All workers look at the same time, and the first to write an occurrence wins: the others are told that the
    schedule has changed. A schedule that can't be read here is left alone, and the others go on.
    """

    def __init__(
        self,
        database: Database,
        writer: Writer,
        *,
        read: Reads,
        started: Callable[[], None],
        born: Callable[[NewRun], NewRun] | None = None,
    ) -> None:
        self._database = database
        self._writer = writer
        self._read = read
        self._started = started
        self._born = born
        self._loop = asyncio.get_running_loop()
        self._alarm = Alarm(self._loop, database.now, lambda _key: self.ask())
        self._looks = Repeating(self._look)
        self._looked = -NEWS_S
        self._soon: asyncio.TimerHandle | None = None
        self._broken: dict[str, int] = {}
        self._closed = False

    def ask(self) -> None:
        """Look what is due."""
        if not self._closed:
            self._looks.ask()

    def news(self) -> None:
        """Look soon: somebody has written something."""
        if self._closed or self._soon is not None:
            return
        self._soon = self._loop.call_at(max(self._loop.time(), self._looked + NEWS_S), self._look_soon)

    def ended(self, run_id: str) -> None:
        """Look whether an occurrence has waited for the end of a run."""
        if "@" in run_id:
            self.ask()

    async def tick_all(self) -> None:
        """Tick everything that is due now."""
        await self._looks.ask_and_wait()

    async def next_due(self) -> int | None:
        """Give the time of the earliest occurrence, in milliseconds; it may have come."""
        due: int | None = await self._read(self._database.schedules.next_due, dict(self._broken))
        return due

    async def close(self) -> None:
        """Look no more."""
        self._closed = True
        self._alarm.close()
        if self._soon is not None:
            self._soon.cancel()
        await self._looks.close()

    def _look_soon(self) -> None:
        self._soon = None
        self.ask()

    async def _look(self) -> None:
        self._looked = self._loop.time()
        while not self._closed:
            now = self._database.now()
            rows = await self._read(self._database.schedules.due, now, dict(self._broken))
            if not rows:
                break
            # Cron takes its time, which isn't the loop's.
            writes, unreadable = await self._read(_decided, rows, now)
            for row, why in unreadable:
                self._leave_alone(row, why)
            await asyncio.gather(*(self._carry_out(write) for write in writes))
            self._started()
        self._alarm.set("tick", await self.next_due())

    async def _carry_out(self, write: Write) -> None:
        receipt = await self._written(write)
        if receipt.written is Written.TAKEN:
            receipt = await self._written(without_its_run(write))
        if receipt.written not in (Written.DONE, Written.BEATEN) and write.schedule is not None:
            row, seen = write.schedule.row, write.schedule.seen
            self._leave_alone((row.id, seen), f"the database refuses its run: {receipt.reason}")

    async def _written(self, write: Write) -> Receipt:
        if self._born is not None and write.start is not None and write.start.trace is None:
            # Whoever opened the coordinator, under whatever span, didn't ask for this run.
            write = replace(write, start=Context().run(self._born, write.start))
        future: asyncio.Future[Receipt] = self._loop.create_future()
        self._writer.submit(write, lambda receipt: None if future.done() else future.set_result(receipt))
        return await future

    def _leave_alone(self, row: tuple[str, int], why: str) -> None:
        name, revision = row
        if name not in self._broken:
            log.warning("schedule %r is left alone by this worker: %s", name, why)
        self._broken[name] = revision


def _decided(rows: Sequence[ScheduleRow], now: int) -> tuple[list[Write], list[tuple[tuple[str, int], str]]]:
    """Decide about each schedule; give what is to be written, and which can't be read, and why."""
    writes: list[Write] = []
    unreadable: list[tuple[tuple[str, int], str]] = []
    for row in rows:
        try:
            write = tick(row, now)
        except Unreadable as problem:
            unreadable.append(((row.id, row.revision), str(problem)))
            continue
        if write is not None:
            writes.append(write)
    return writes, unreadable
