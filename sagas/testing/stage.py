"""One simulated run: a store, workers, calls that are really made, and mishaps where they are asked for."""

from __future__ import annotations

import copy
import hashlib
import inspect
import json
import logging
from collections.abc import Callable, Sequence
from typing import Any

from amends.persistence.apart import apart
from amends.persistence.records import InboxRow, NewRun, Receipt, Wake, Write
from amends.sagas.errors import DefinitionError
from amends.sagas.journal import Kind
from amends.sagas.news import Attempt
from amends.sagas.outcome import Effect
from amends.sagas.registry import STEPS
from amends.sagas.room import Room
from amends.sagas.saga import Saga
from amends.sagas.testing.ledger import Ledger
from amends.sagas.testing.mishaps import FAILURES, Mishap, Mishaps, Point
from amends.sagas.testing.post import Letter, Sender
from amends.sagas.testing.store import Store, StoredRun
from amends.sagas.testing.virtual_loop import VirtualLoop
from amends.sagas.testing.worker import Worker
from amends.sagas.testing.world import World

log = logging.getLogger("amends")

BEGINNING = 1_893_456_000_000
"""When every simulated run begins: the first second of 2030."""
RUN_ID = "simulated"
MOST_ATTEMPTS = 100
"""So often a step fails that fails every time."""
MOST_OF_RETRIABLE = 3
"""So often one fails that is tried until it succeeds: some day it must."""
AGAIN = 0.004
"""Seconds after which an impatient caller starts its run again."""
MOST_POINTS = 20_000


class Stage:
    """Plays one run of a saga to its end, under the mishaps that it is given.

    `points` are the points it came to, `wrongs` the rules that were broken on the way, `before` and `after`
    the world's snapshots.
    """

    def __init__(
        self,
        saga: Saga[..., Any],
        data: bytes,
        *,
        world: World | None,
        resources: Any,
        mishaps: Mishaps,
        workers: int = 1,
        signals: Sequence[Letter] = (),
    ) -> None:
        self.saga = saga
        self.mishaps = mishaps
        self.ledger = Ledger()
        self.loop = VirtualLoop()
        self.store = Store(self.now, self._mailed)
        self.points: list[Point] = []
        self.hit: list[tuple[Point, Mishap]] = []
        self.wrongs: list[str] = []
        self.lines: list[str] = []
        self.in_flight = 0
        self.room: Room | None = None
        self.before: Any = None
        self.after: Any = None
        self._data = data
        self._world = world
        self._resources = resources
        self._room = workers
        self._workers: list[Worker] = []
        self._dead: list[Worker] = []
        self._hired = 0
        self._writes = 0
        self._calls = 0
        self._cancels = 0
        self._started = False
        self._failing: dict[tuple[str, int], tuple[Mishap, int]] = {}
        self._looking: set[int] = set()
        self._checking = False
        self._sender = Sender(self, RUN_ID, signals)
        self._lacking = ""

    @property
    def run(self) -> StoredRun | None:
        """The run, once its start has committed."""
        return self.store.runs.get(RUN_ID)

    @property
    def digest(self) -> str:
        """The hash of everything that happened: the same for the same seed."""
        return hashlib.blake2b("\n".join(self.lines).encode(), digest_size=12).hexdigest()

    def play(self) -> Stage:
        """Play the run to its end. Whatever is wrong with it is there to be read afterwards.

        Raises `DefinitionError` for transactional steps in a world without an engine.
        """
        log.disabled, was = True, log.disabled
        try:
            self._in_world("reset")
            made = apart(getattr(self._world, "engine", None))
            self.room = None if made is None else Room(*made, self.now)
            self.before = self._in_world("snapshot")
            self.loop.call_soon(self._begin)
            self.loop.run()
            self.after = self._in_world("snapshot")
        finally:
            for worker in (*self._workers, *self._dead):
                worker.die()
                # Now, and not when memory is collected: a body's `finally` would really call its steps then.
                worker.driver.fenced()
            self.loop.end()
            log.disabled = was
        if self._lacking:
            raise DefinitionError(
                f"step {self._lacking!r} is a transaction, and the world has no attribute `engine`: give it "
                "a SQLAlchemy engine on a database of the test's"
            )
        return self

    def now(self) -> int:
        """Give the time in milliseconds."""
        return BEGINNING + self.loop.ms

    def note(self, line: str) -> None:
        """Add a line to the trace."""
        self.lines.append(f"{self.loop.ms} {line}")

    def commit(self, worker: Worker, write: Write) -> Receipt | None:
        """Apply a write; None where its worker died before that, or before it could be told."""
        self._writes += 1
        kinds = " ".join(_entry(row.kind, row.name) for row in write.entries)
        point = Point("write", self._writes, kinds or _bare(write), self.now(), worker.name)
        mishap = self.meet(point)
        if mishap is Mishap.KILLED_BEFORE:
            self.kill(worker)
            return None
        if mishap is Mishap.CANCELLED_BEFORE:
            self.cancel()
        receipt = self.store.apply(write, worker.name, None if worker.expired else worker.epoch)
        self.note(f"{point} by {worker.name}: {point.what}: {receipt.written}")
        if self.run is not None:
            self._sender.begin()
        if mishap is Mishap.KILLED_AFTER:
            self.kill(worker)
            return None
        if mishap is Mishap.FROZEN:
            self.freeze(worker)
        if mishap is Mishap.CANCELLED_AFTER:
            self.cancel()
        self.look_soon()
        return receipt

    def begin_call(self, worker: Worker, attempt: Attempt) -> Mishap | None:
        """Decide what becomes of a call, and note it where it is made."""
        self._calls += 1
        point = Point("call", self._calls, _called(attempt), self.now(), worker.name, attempt)
        self._check_call(attempt)
        step = STEPS.get(attempt.name)
        if self.room is None and step is not None and step.given is not None:
            self._lacking = attempt.name
        mishap = self._standing(attempt) or self.meet(point)
        if mishap in FAILURES and not attempt.undoing:
            self._failing.setdefault((attempt.run_id, attempt.ref), (mishap, self._calls))
        self.note(f"{point} by {worker.name}: {point.what} {mishap or ''}")
        if mishap is Mishap.CANCELLED_DURING:
            self.cancel()
        if mishap is Mishap.FROZEN:
            self.loop.call_soon(self.freeze, worker)
        if mishap not in (Mishap.KILLED_BEFORE, Mishap.FAILS, Mishap.TIMES_OUT):
            self.ledger.begin(self._calls, attempt, worker.name, self.now())
        return mishap

    def kill(self, worker: Worker) -> None:
        """Let a worker die; its runs are handed on."""
        if worker.alive:
            self.note(f"{worker.name} dies")
            worker.die()
            self._workers.remove(worker)
            self._dead.append(worker)
            self.in_flight += 1
            self.loop.call_later(self.mishaps.take_over_ms() / 1000, self._take_over, worker)

    def freeze(self, worker: Worker) -> None:
        """Let a worker stand still for a while, perhaps for longer than its lease."""
        if worker.alive and not worker.frozen:
            ms, lease = self.mishaps.freeze_ms(), self.mishaps.take_over_ms()
            self.note(f"{worker.name} freezes for {ms} ms")
            worker.freeze()
            if ms > lease:
                self.loop.call_later(lease / 1000, self._expire, worker)
            self.loop.call_later(ms / 1000, self._wake, worker)

    def cancel(self) -> None:
        """Ask the run to stop."""
        run = self.run
        if run is None:
            return
        self._cancels += 1
        meta = json.dumps({"reason": "the test cancels it", "by": "test"})
        row = InboxRow(RUN_ID, f"cancel:{self._cancels}", Kind.CANCEL.value, self.now(), meta)
        receipt = self.store.apply(Write(RUN_ID, inbox=row, wake=Wake.CANCEL), None, None)
        self.note(f"cancel: {receipt.written}")
        self.look_soon()

    def load_again(self, worker: Worker, run_id: str, epoch: int) -> None:
        """Load a run that a worker holds: what it wanted to write was beaten by a message."""
        run = self.store.runs[run_id]
        if run.row.owner == worker.name and epoch == worker.epoch:
            worker.driver.adopt(run.loaded(epoch), epoch)

    def look_soon(self) -> None:
        """Look for due runs, now and when the next one is due."""
        for due in (self.now(), *self.store.dues()):
            moment = max(due, self.now())
            if moment not in self._looking:
                self._looking.add(moment)
                self.loop.call_later((moment - self.now()) / 1000, self._look, moment)

    def check_soon(self) -> None:
        """Look whether everything has come to its end."""
        if not self._checking:
            self._checking = True
            self.loop.call_soon(self._check)

    def _begin(self) -> None:
        for _ in range(self._room):
            self._hire()
        self._start()
        if self.mishaps.pick(2):
            # A caller that isn't patient starts the same run again, wherever it can.
            self.loop.call_later(AGAIN, self._start)
        self.look_soon()

    def _hire(self) -> None:
        self._hired += 1
        self._workers.append(Worker(self, f"worker-{self._hired}", self._resources))

    def _start(self) -> None:
        """Start the run, as a caller does who starts again while nobody answers."""
        deadline = self.saga.deadline
        at = None if deadline is None else BEGINNING + round(deadline.total_seconds() * 1000)
        new = NewRun(RUN_ID, self.saga.name, self.saga.version, self._data, BEGINNING, at)
        worker = self._chosen()
        if worker is not None and not worker.driver.holds(RUN_ID):
            worker.driver.begin(new, self._start_answered)

    def _start_answered(self, receipt: Receipt) -> None:
        self._started = True
        self.note(f"start: {receipt.written}")
        self.loop.call_soon(self.look_soon)

    def _chosen(self) -> Worker | None:
        able = [worker for worker in self._workers if not (worker.frozen or worker.expired)]
        return able[self.mishaps.pick(len(able))] if able else None

    def _look(self, moment: int) -> None:
        self._looking.discard(moment)
        for run_id, run in self.store.runs.items():
            worker = self._chosen() if run.claimable(self.now()) else None
            if worker is not None:
                self.store.claim(run_id, worker.name)
                self.note(f"{worker.name} claims {run_id}")
                worker.driver.adopt(run.loaded(worker.lease), worker.lease)
        self.check_soon()

    def _take_over(self, worker: Worker) -> None:
        self.in_flight -= 1
        self.store.hand_on(worker.name)
        if len(self._workers) < self._room:
            self._hire()
        if not self._started:
            self._start()
        self.look_soon()

    def _expire(self, worker: Worker) -> None:
        if worker.alive and worker.frozen:
            worker.expired = True
            self.store.hand_on(worker.name)
            self.look_soon()

    def _wake(self, worker: Worker) -> None:
        if worker.alive:
            self.note(f"{worker.name} wakes")
            worker.wake(told_first=bool(self.mishaps.pick(2)))
            if not self._started:
                self._start()
            self.check_soon()

    def _mailed(self, row: InboxRow) -> None:
        owner = self.store.runs[row.run_id].row.owner
        for worker in self._workers:
            if worker.name == owner:
                for _ in range(1 + self.mishaps.pick(2)):
                    worker.mail(row)

    def meet(self, point: Point) -> Mishap | None:
        """Come to a point; tell what goes wrong there."""
        self.points.append(point)
        if len(self.points) >= MOST_POINTS:
            self.loop.stop()
        mishap = self.mishaps.at(point)
        if mishap is not None:
            self.hit.append((point, mishap))
        return mishap

    def _standing(self, attempt: Attempt) -> Mishap | None:
        """Give the mishap that befalls every attempt of a step."""
        if attempt.undoing or getattr(attempt, "probing", False):
            return None
        failing = self._failing.get((attempt.run_id, attempt.ref))
        step = STEPS.get(attempt.name)
        retriable = step is not None and step.effect is Effect.RETRIABLE
        most = MOST_OF_RETRIABLE if retriable else MOST_ATTEMPTS
        return failing[0] if failing is not None and attempt.attempt <= most else None

    def _check_call(self, attempt: Attempt) -> None:
        """Check that what is called is on record, and may still be called (S1, S4, S9)."""
        run = self.store.runs.get(attempt.run_id)
        step = STEPS.get(attempt.name)
        if step is not None and step.effect is Effect.READ:
            return
        name = f"{attempt.name} ({attempt.ref})"
        if run is None or attempt.ref not in run.intents:
            self.wrongs.append(f"{name} is called before its intent is on record (S1)")
        elif attempt.undoing and attempt.ref not in run.undoing:
            self.wrongs.append(f"the compensation of {name} is called before that is on record (S9)")
        elif attempt.undoing and attempt.ref in run.undone:
            self.wrongs.append(f"the compensation of {name} is called again after it succeeded (S9)")
        elif run.switched and not attempt.undoing and not getattr(attempt, "probing", False):
            self.wrongs.append(f"{name} is called after the decision to undo the run (S4)")

    def _check(self) -> None:
        self._checking = False
        busy = any(worker.busy for worker in self._workers)
        settled = all(run.settled for run in self.store.runs.values())
        if self.run is None or busy or self.in_flight or self.ledger.under_way:
            return
        if settled:
            self.loop.stop()
        elif self.run.listens(self.now()):
            self._sender.asked(len(self.run.rows))

    def _in_world(self, name: str) -> Any:
        if self._world is None:
            return None
        function: Callable[[], Any] = getattr(self._world, name)
        made = function()
        if inspect.isawaitable(made):
            made = self._awaited(made)
        return copy.deepcopy(made) if name == "snapshot" else made

    def _awaited(self, made: Any) -> Any:
        async def wait() -> Any:
            try:
                return await made
            finally:
                self.loop.stop()

        task = self.loop.create_task(wait())
        self.loop.run()
        return task.result()


def _called(attempt: Attempt) -> str:
    if attempt.undoing:
        return f"undo {attempt.name} ({attempt.ref}), attempt {attempt.attempt}"
    return f"{attempt.name} ({attempt.ref}), attempt {attempt.attempt}"


def _entry(kind: str, name: str | None) -> str:
    return f"{kind}({name})" if name else kind


def _bare(write: Write) -> str:
    if write.inbox is not None:
        return f"inbox {write.inbox.kind}"
    return "the run falls asleep" if write.change is not None else "nothing"
