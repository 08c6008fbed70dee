"""Driving the runs that this process holds: turns go to the writer, attempts to the executor."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from amends.persistence.records import (
    AuditRow,
    InboxRow,
    Loaded,
    NewRun,
    Receipt,
    RunChange,
    RunRow,
    Serves,
    Write,
    Written,
)
from amends.sagas.alarm import Alarm
from amends.sagas.errors import RecordUnreadable
from amends.sagas.executor import Executor
from amends.sagas.giving_in import given_in
from amends.sagas.held import Held, Hooks, Submits, must_not_miss_mail, overlooked
from amends.sagas.journal import Entry, from_row
from amends.sagas.late import late_message
from amends.sagas.new_runs import row_of
from amends.sagas.news import Attempted, Beat, Key, Noted, Turn
from amends.sagas.registry import SAGAS
from amends.sagas.reloading import reload
from amends.sagas.run import Limits, LiveRun
from amends.sagas.telemetry import Telemetry

HOLD_READS_MS = 50
"""So long outcomes of reads may wait in memory for the next write."""

log = logging.getLogger("amends")


class Driver:
    """Holds the runs of this process and makes their turns, at most one of a run in the writer at once.

    Everything here happens in callbacks of one event loop.
    """

    def __init__(
        self, writer: Submits, *, now: Callable[[], int], limits: Limits, worker: str, hooks: Hooks
    ) -> None:
        self._writer = writer
        self._now = now
        self._limits = limits
        self._worker = worker
        self._hooks = hooks
        self._loop = asyncio.get_running_loop()
        self._alarm = Alarm(self._loop, now, self._due)
        self._held: dict[str, Held] = {}
        self._told: dict[str, list[Attempted]] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self.executor: Executor | None = None
        self.telemetry: Telemetry | None = None
        self.elsewhere: list[Serves] = []
        self.code = ""
        self.notifiers: tuple[str, ...] = ()
        self.closing = False
        self._cut_short: frozenset[Key] | None = None

    @property
    def holding(self) -> int:
        """How many runs are held in memory."""
        return len(self._held)

    def holds(self, run_id: str) -> bool:
        """Tell whether the run is held here."""
        return run_id in self._held

    async def wait_idle(self) -> None:
        """Wait until no run is held."""
        await self._idle.wait()

    def begin(self, new: NewRun, done: Callable[[Receipt], None]) -> None:
        """Start a run here: its row and its first turn are written together."""
        row = row_of(new)
        held = self._hold(row)
        try:
            if self.telemetry is not None:
                held.traced = self.telemetry.taken(row, new=True)
            turn = reload(held.run, [], [], self._now())
            self._write(held, turn, start=new, done=done)
        except BaseException:
            self._drop(held)
            raise

    def adopt(self, loaded: Loaded, epoch: int) -> None:
        """Take over a claimed run: replay its journal and make its next turn."""
        before = self._held.get(loaded.run.id)
        if before is not None:
            # What is held is about to be told that it isn't any more: a start whose id is taken.
            before.claimed = loaded
            return
        held = self._hold(loaded.run, epoch)
        held.told = self._told.pop(loaded.run.id, [])
        held.mail = loaded.run.mail
        held.written = loaded.entries[-1].seq if loaded.entries else 0
        try:
            if loaded.unreadable:
                raise RecordUnreadable(loaded.unreadable)
            entries = [from_row(entry) for entry in loaded.entries]
            if self.telemetry is not None:
                held.traced = self.telemetry.taken(loaded.run, entries)
            turn = reload(held.run, entries, [*held.told, *loaded.inbox], self._now())
            # Claimed while the worker goes away, it is recorded and given back: left alone it would be lost.
            turn.durable = turn.durable or self.closing
            self._carry(held, turn)
        except Exception as problem:  # noqa: BLE001 - a broken record harms its own run only
            self._give_in(held, problem)

    def attempted(self, run_id: str, item: Attempted | Beat | Noted) -> None:
        """Take the outcome of an attempt; a run that is no longer held here gets it through its inbox.

        What an attempt under way tells of itself is only for a run that is held.
        """
        held = self._held.get(run_id)
        if isinstance(item, Beat | Noted):
            if held is not None:
                held.news.append(item)
                self._queue(held)
            return
        if held is None:
            self._send_late(run_id, item)
            return
        held.news.append(item)
        if len(held.run.executing) == 1 and not held.queued:
            # Nothing else of the run can come together with it: its turn is made at once.
            self._turn(held)
        else:
            self._queue(held)

    def mail(self, row: InboxRow) -> None:
        """Take an inbox row for a run that is held here."""
        held = self._held.get(row.run_id)
        if held is None or row.number <= held.mail:
            return
        held.mail = row.number
        held.news.append(row)
        self._queue(held)

    def fenced(self) -> None:
        """Drop what was held under the lease that is lost: it belongs to others.

        The writer has another lease by now, under which runs may have been begun already.
        """
        lost = [held for held in self._held.values() if held.epoch != self._writer.epoch]
        if self.executor is not None:
            self.executor.revoke(self._held.keys() - {held.run.row.id for held in lost})
        for held in lost:
            self._hand_over(held)
        for run_id, told in self._told.items():
            for item in told:
                self._send_late(run_id, item)
        self._told.clear()

    def close(self) -> None:
        """Take no further runs and start no further attempts; outcomes that still come are recorded."""
        self.closing = True

    def cut_all(self, cut_short: Collection[Key]) -> None:
        """Release every run: the worker goes away. Attempts in `cut_short` may have landed or not."""
        self._cut_short = frozenset(cut_short)
        for held in list(self._held.values()):
            if not held.writing:
                self._cut(held, self._cut_short)

    def _cut(self, held: Held, cut_short: frozenset[Key]) -> None:
        if held.news:
            self._record_news(held)
            return
        run_id = held.run.row.id
        self._write(held, held.run.cut(self._now(), {key[1:] for key in cut_short if key[0] == run_id}))

    def _record_news(self, held: Held) -> None:
        """Make a turn as ever, of which nothing is started: the next worker finds on record what is to do."""
        news, held.news = held.news, []
        held.told += [item for item in news if isinstance(item, Attempted)]
        try:
            turn = held.run.turn(news, self._now())
            turn.durable = True
            self._write(held, turn)
        except Exception as problem:  # noqa: BLE001 - as below
            self._give_in(held, problem)

    def _hold(self, row: RunRow, epoch: int | None = None) -> Held:
        run = LiveRun(SAGAS.get((row.saga, row.version)), row, self._limits, worker=self._worker)
        run.elsewhere = self.elsewhere
        run.code = self.code
        run.notifiers = self.notifiers
        held = Held(run, (self._writer.epoch or 0) if epoch is None else epoch)
        self._held[row.id] = held
        self._idle.clear()
        return held

    def _drop(self, held: Held) -> None:
        run_id = held.run.row.id
        if self._held.get(run_id) is held:
            del self._held[run_id]
            self._alarm.set(run_id, None)
            self._alarm.set(f"{run_id}\0reads", None)
        held.run.close()
        claimed, held.claimed = held.claimed, None
        if claimed is not None:
            self.adopt(claimed, claimed.epoch or 0)
        if not self._held:
            self._idle.set()

    def _due(self, key: str) -> None:
        run_id, _, what = key.partition("\0")
        held = self._held.get(run_id)
        if held is None:
            return
        if what:
            if held.run.held and not held.writing:
                self._carry(held, held.run.flush(self._now()))
        else:
            self._queue(held)

    def _queue(self, held: Held) -> None:
        if not held.queued and not held.writing:
            held.queued = True
            self._loop.call_soon(self._turn, held)

    def _turn(self, held: Held) -> None:
        held.queued = False
        if held.writing or self._held.get(held.run.row.id) is not held:
            return
        if self.closing:
            self._record_news(held)
            return
        news, held.news = held.news, []
        # Until something is written these are the outcomes of reads that wait in memory, too.
        held.told += [item for item in news if isinstance(item, Attempted)]
        try:
            turn = held.run.turn(news, self._now())
            self._carry(held, turn)
        except Exception as problem:  # noqa: BLE001 - one run's trouble is not the others'
            self._give_in(held, problem)

    def _carry(self, held: Held, turn: Turn) -> None:
        if turn.durable:
            self._write(held, turn)
            return
        self._start_attempts(held, turn)
        self._alarm.set(held.run.row.id, turn.wake_at)
        if held.run.held:
            self._alarm.set(f"{held.run.row.id}\0reads", self._now() + HOLD_READS_MS)

    def _write(
        self,
        held: Held,
        turn: Turn,
        *,
        start: NewRun | None = None,
        done: Callable[[Receipt], None] | None = None,
    ) -> None:
        run = held.run
        change = turn.change
        write = Write(
            run.row.id,
            epoch=held.epoch,
            start=start,
            entries=tuple(entry.to_row(run.row.id) for entry in turn.entries),
            taken=tuple(turn.taken),
            change=change,
            mail=run.mail if start is None and must_not_miss_mail(turn, self._now()) else None,
            despite=overlooked(change),
            progressed=turn.progressed,
            audit=tuple(turn.audit),
            starts=tuple(turn.starts.values()),
            tells=tuple(turn.tells),
            asks=tuple(turn.asks),
            closes=tuple(turn.closes),
            shown=turn.shown,
        )
        held.writing = True
        self._writer.submit(write, functools.partial(self._written, held, turn, done))

    def _written(
        self, held: Held, turn: Turn, done: Callable[[Receipt], None] | None, receipt: Receipt
    ) -> None:
        held.writing = False
        if done is not None:
            done(receipt)
        if self._held.get(held.run.row.id) is not held:
            return
        if receipt.written is Written.DONE:
            self._committed(held, turn)
        elif receipt.written is Written.BEATEN:
            if self.closing:
                # Nobody loads it again here: what is known of its attempts goes to its inbox.
                self._hand_over(held)
                return
            self._drop(held)
            late = [item for item in held.news if isinstance(item, Attempted)]
            self._told[held.run.row.id] = [*held.told, *late]
            self._hooks.reload(held.run.row.id, held.epoch)
        elif receipt.written is Written.REFUSED and done is None:
            self._give_in(held, RuntimeError(f"the database refuses what the run writes: {receipt.reason}"))
        else:
            self._hand_over(held)

    def _committed(self, held: Held, turn: Turn) -> None:
        held.told = []
        if turn.entries:
            held.written = turn.entries[-1].seq
        self._tell(held, turn.entries, turn.change)
        if turn.starts or turn.tells:
            self._loop.call_soon(self._hooks.told)
        change = turn.change
        if change is not None and change.release:
            self._drop(held)
            if turn.parked:
                run_id = held.run.row.id
                log.warning("run %s is parked: %s", run_id, turn.parked, extra={"run_id": run_id})
            if turn.ended or turn.parked:
                self._hooks.settled(held.run.row.id, change)
            else:
                self._hooks.released(change.due_at)
            return
        if self.closing:
            self._after_commit_in_closing(held)
            return
        self._start_attempts(held, turn)
        self._alarm.set(held.run.row.id, turn.wake_at)
        if held.news:
            self._queue(held)

    def _after_commit_in_closing(self, held: Held) -> None:
        if held.news:
            self._record_news(held)
        elif self._cut_short is not None:
            self._cut(held, self._cut_short)

    def _start_attempts(self, held: Held, turn: Turn) -> None:
        if self.executor is not None:
            for attempt in turn.attempts:
                self.executor.start(attempt, None if held.traced is None else held.traced.begins(attempt))

    def _tell(self, held: Held, entries: Sequence[Entry], change: RunChange | None) -> None:
        """Tell the run's trace what is on record now."""
        if self.telemetry is not None and held.traced is not None:
            sleeps = change is not None and change.release
            self.telemetry.committed(held.traced, held.run, entries, sleeps=sleeps)

    def _give_in(self, held: Held, problem: Exception) -> None:
        """Park a run whose turn can't be made or written: it needs a person, the others go on."""
        run_id = held.run.row.id
        log.error("run %s is parked: %s", run_id, problem, exc_info=problem, extra={"run_id": run_id})
        held.run.close()
        reason = f"{type(problem).__name__}: {problem}"
        write = given_in(held, reason, self.notifiers, self._now())
        turn = Turn(change=write.change, parked=reason)
        held.writing = True
        self._writer.submit(write, functools.partial(self._gave_in, held, turn, write))

    def _gave_in(self, held: Held, turn: Turn, write: Write, receipt: Receipt) -> None:
        if receipt.written is Written.REFUSED and write.starts:
            # An id by which somebody would be told is another run's: it parks all the same (L2).
            bare = replace(write, starts=())
            self._writer.submit(bare, functools.partial(self._gave_in, held, turn, bare))
            return
        if receipt.written is Written.DONE:
            self._tell(held, [from_row(entry) for entry in write.entries], turn.change)
        self._hand_over(held)
        if receipt.written is Written.DONE and turn.change is not None:
            self._hooks.settled(held.run.row.id, turn.change)

    def _hand_over(self, held: Held) -> None:
        """Drop a run that is another worker's now; what came of its attempts here goes to its inbox."""
        self._drop(held)
        for item in (*held.told, *held.news):
            if isinstance(item, Attempted):
                self._send_late(held.run.row.id, item)

    def _send_late(self, run_id: str, item: Attempted) -> None:
        if item.read or item.probing:
            return
        row, wake = late_message(run_id, item, self._worker, self._now())
        # What comes too late even to be taken is audited: an outcome is never dropped (S5).
        line = AuditRow(run_id, row.at, self._worker, "late outcome", row.meta)
        write = Write(run_id, inbox=row, wake=wake, too_late=(line,))
        self._writer.submit(write, functools.partial(self._sent_late, run_id))

    def _sent_late(self, run_id: str, receipt: Receipt) -> None:
        if receipt.written is Written.ENDED:
            said = "run %s has ended; an outcome that came late is in its audit trail"
            log.warning(said, run_id, extra={"run_id": run_id})
