"""A simulated worker: the real driver and the real executor, on a simulated store."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from amends.persistence.records import InboxRow, Receipt, RunChange, Write
from amends.sagas.driver import Driver
from amends.sagas.errors import StepTimeout
from amends.sagas.executor import Executor, Settings
from amends.sagas.failure import describe
from amends.sagas.held import Hooks
from amends.sagas.news import Attempt, Attempted, Beat, Noted
from amends.sagas.outcome import Effect, Outcome
from amends.sagas.registry import STEPS
from amends.sagas.room import Room
from amends.sagas.run import Limits
from amends.sagas.testing.mishaps import Mishap
from amends.sagas.webhook_urls import Webhooks
from amends.tracing.attempt_span import AttemptSpan

if TYPE_CHECKING:
    from amends.sagas.testing.stage import Stage

MAX_STEPS = 1_000
WEBHOOKS = Webhooks("https://hooks.invalid", secrets=bytes(16))
"""Nobody can call what a simulated run makes."""
LIMITS = Limits(max_lost=1_000_000, dormant_after_ms=0)
LEARNS = 0.01
"""Seconds after waking until a worker learns that its lease was lost."""
INJECTED = "the test lets this call fail"


class Worker:
    """One worker: what it writes and what its calls report goes through the stage, which may interfere.

    A dead one is deaf and dumb. A frozen one keeps what it hears and says for later.
    """

    def __init__(self, stage: Stage, name: str, resources: Any) -> None:
        self.stage = stage
        self.name = name
        self.alive = True
        self.frozen = False
        self.expired = False
        self.lease = 1
        self.driver = Driver(
            self,
            now=stage.now,
            limits=LIMITS,
            worker=name,
            hooks=Hooks(self._settled, self._released, self._reload, stage.look_soon),
        )
        self.driver.executor = self.executor = _Gated(
            Settings(resources, MAX_STEPS, 1, LIMITS.max_payload, WEBHOOKS),
            now=stage.now,
            report=self.hear,
            gate=self._let_start,
            room=stage.room,
        )
        self._unwritten: deque[tuple[Write, Callable[[Receipt], None]]] = deque()
        self._committing = False
        self._kept: deque[Callable[[], None]] = deque()
        self._lost_answers: dict[tuple[str, int, int, bool], Mishap] = {}

    @property
    def epoch(self) -> int | None:
        """The lease under which this worker writes."""
        return self.lease

    @property
    def busy(self) -> bool:
        """Tell whether something of it is still to come."""
        return self.alive and bool(self._unwritten or self._kept or self.frozen)

    def submit(self, write: Write, done: Callable[[Receipt], None]) -> None:
        """Write all or nothing, and tell what became of it."""
        if self.alive:
            self._unwritten.append((write, done))
            self._commit_soon()

    def die(self) -> None:
        """Lose all memory at once."""
        self.alive = False
        self._unwritten.clear()
        self._kept.clear()
        self.lease += 1
        self.stage.loop.call_soon(self.driver.fenced)

    def freeze(self) -> None:
        """Stand still."""
        self.frozen = True

    def wake(self, *, told_first: bool) -> None:
        """Go on; a worker whose runs went to others meanwhile learns of that first, or by its next write."""
        if not self.alive:
            return
        self.frozen = False
        kept, self._kept = self._kept, deque()
        if self.expired and told_first:
            self._learn()
        elif self.expired:
            self.stage.loop.call_later(LEARNS, self._learn)
        for say in kept:
            say()
        self._commit_soon()
        self.stage.look_soon()

    def _learn(self) -> None:
        """Learn that the lease was lost, and enter under another one."""
        if self.expired and self.alive:
            self.expired = False
            self.lease += 1
            self.driver.fenced()
            self.stage.look_soon()

    def later(self, say: Callable[[], None], ms: int = 0) -> None:
        """Tell the driver something, unless the worker is dead then; a frozen one hears it when it wakes."""
        self.stage.loop.call_later(ms / 1000, self._say, say)

    def hear(self, run_id: str, item: Attempted | Beat | Noted) -> None:
        """Take what came of a call, unless its answer is lost."""
        stage = self.stage
        if isinstance(item, Beat | Noted):
            self._say(functools.partial(self.driver.attempted, run_id, item))
            return
        mishap = self._lost_answers.pop((run_id, item.ref, item.attempt, item.undoing), None)
        call = stage.ledger.end(run_id, item, self.name, stage.now())
        if call is not None:
            outcome = f"{item.outcome}{f' ({call.error})' if call.error else ''}"
            call.told = outcome if mishap is None else f"{outcome}; {mishap}"
            stage.note(f"{self.name} call {call.number} {item.outcome}")
        if mishap is Mishap.KILLED_AFTER:
            stage.kill(self)
        elif mishap is Mishap.UNANSWERED and call is not None:
            item = _unknown(call.attempt, StepTimeout("the answer was lost"), call.started)
            self._tell(run_id, item, max(0, call.started + call.attempt.timeout_ms - stage.now()))
        else:
            self._tell(run_id, item, stage.mishaps.answer_ms())
        stage.check_soon()

    def _tell(self, run_id: str, item: Attempted, ms: int) -> None:
        item.ended_at = self.stage.now() + ms
        self.stage.in_flight += 1
        self.stage.loop.call_later(ms / 1000, self._arrives, run_id, item)

    def _arrives(self, run_id: str, item: Attempted) -> None:
        self.stage.in_flight -= 1
        self._say(functools.partial(self.driver.attempted, run_id, item))
        self.stage.check_soon()

    def _say(self, say: Callable[[], None]) -> None:
        if not self.alive:
            return
        if self.frozen:
            self._kept.append(say)
        else:
            say()

    def _commit_soon(self) -> None:
        if self._unwritten and not self._committing and not self.frozen:
            self._committing = True
            self.stage.loop.call_later(self.stage.mishaps.commit_ms() / 1000, self._commit)

    def _commit(self) -> None:
        self._committing = False
        if not self.alive or self.frozen or not self._unwritten:
            return
        write, done = self._unwritten.popleft()
        receipt = self.stage.commit(self, write)
        if receipt is not None and self.alive:
            ms = self.stage.mishaps.answer_ms()
            if ms:
                self.stage.in_flight += 1
                self.stage.loop.call_later(ms / 1000, self._answered, done, receipt)
            else:
                self._say(functools.partial(done, receipt))
        self._commit_soon()
        self.stage.check_soon()

    def _answered(self, done: Callable[[Receipt], None], receipt: Receipt) -> None:
        self.stage.in_flight -= 1
        self._say(functools.partial(done, receipt))
        self.stage.check_soon()

    def _let_start(self, attempt: Attempt) -> bool:
        """Tell whether a call is really made."""
        if not self.alive or self.expired:
            # With its lease gone by the clock, an executor starts nothing more.
            return False
        if self.frozen:
            self._kept.append(functools.partial(self._start_late, attempt, self.lease))
            return False
        mishap = self.stage.begin_call(self, attempt)
        if mishap is Mishap.KILLED_BEFORE:
            self.stage.kill(self)
            return False
        if mishap in (Mishap.FAILS, Mishap.TIMES_OUT):
            self._fail(attempt, mishap)
            return False
        if mishap in (Mishap.KILLED_AFTER, Mishap.UNANSWERED):
            self._lost_answers[attempt.run_id, attempt.ref, attempt.attempt, attempt.undoing] = mishap
        return True

    def _start_late(self, attempt: Attempt, lease: int) -> None:
        if lease == self.lease:
            self.executor.start(attempt)

    def _fail(self, attempt: Attempt, mishap: Mishap) -> None:
        if mishap is Mishap.TIMES_OUT:
            error: BaseException = StepTimeout(f"attempt {attempt.attempt} of {attempt.name!r} took too long")
            ms = attempt.timeout_ms
        else:
            error, ms = ConnectionError(INJECTED), self.stage.mishaps.answer_ms()
        self._tell(attempt.run_id, _unknown(attempt, error, self.stage.now()), ms)

    def _settled(self, run_id: str, change: RunChange) -> None:
        self.stage.note(f"{self.name} settled {run_id} {change.status}")
        self.stage.look_soon()

    def _released(self, due_at: int | None) -> None:
        del due_at
        self.stage.look_soon()

    def _reload(self, run_id: str, epoch: int) -> None:
        self.later(lambda: self.stage.load_again(self, run_id, epoch))

    def mail(self, row: InboxRow) -> None:
        """Have a run's unread inbox rows brought to the driver, in their order as a scheduler reads them."""
        self.later(functools.partial(self._read_mail, row.run_id))

    def _read_mail(self, run_id: str) -> None:
        run = self.stage.store.runs[run_id]
        if run.row.owner == self.name:
            for row in run.unread:
                self.driver.mail(row)


class _Gated(Executor):
    """An executor that asks before each call."""

    def __init__(
        self,
        settings: Settings,
        *,
        now: Callable[[], int],
        report: Callable[[str, Attempted | Beat | Noted], None],
        gate: Callable[[Attempt], bool],
        room: Room | None,
    ) -> None:
        super().__init__(settings, now=now, lease_good=lambda: True, report=report, room=room)
        self._gate = gate

    def start(self, attempt: Attempt, span: AttemptSpan | None = None) -> None:
        """Execute an attempt, if it is to be made at all."""
        if self._gate(attempt):
            super().start(attempt, span)


def _unknown(attempt: Attempt, error: BaseException, started: int) -> Attempted:
    step = STEPS.get(attempt.name)
    read = not attempt.undoing and step is not None and step.effect is Effect.READ
    return Attempted(
        attempt.ref,
        attempt.attempt,
        attempt.undoing,
        Outcome.UNKNOWN,
        started,
        started,
        error=describe(error).to_json(),
        exception=error,
        read=read,
    )
