"""One run in memory: news in, a turn's entries and attempts out. No I/O, no clock of its own."""

from __future__ import annotations

import datetime as dt
import heapq
import json
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any

from amends.persistence.records import AuditRow, Cause, RunChange, RunRow, Serves
from amends.persistence.records import Status as Stored
from amends.sagas import approvals, asking, children, noting, parents, settling, taking
from amends.sagas.body import Body
from amends.sagas.commands import AskPeople, Command, RollBack, StartOver
from amends.sagas.compensation import UndoOrder
from amends.sagas.context import CurrentRun
from amends.sagas.errors import DefinitionError, NoEffect
from amends.sagas.failure import Failure, describe, rebuild
from amends.sagas.history import History
from amends.sagas.journal import OF_WORKERS, Entry, Kind, floor_of
from amends.sagas.loop import EndlessTurn
from amends.sagas.mailbox import Letter, Mailbox, letter_of
from amends.sagas.news import Attempt, News, Turn
from amends.sagas.outcome import Outcome
from amends.sagas.registry import STEPS
from amends.sagas.replay import NON_DETERMINISM, Diverged
from amends.sagas.saga import Saga
from amends.sagas.step_record import Phase, StepRecord, Undoing

MOST_HELD = 256
"""So many outcomes of reads may wait in memory for the next write."""
AHEAD = (Kind.INTENT, Kind.RETRY, Kind.LOST)
"""The entries that stand before an attempt."""
TOLD = (Kind.FIRED, Kind.ROLLED_BACK, Kind.SIGNAL, Kind.DECIDED)
"""The entries that let the body go on without a step's outcome."""
PARKING = (Diverged, EndlessTurn, ValueError, DefinitionError)
"""What is wrong with the run itself."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a coordinator allows its runs.

    `max_payload` is bytes of JSON; a run is parked once it was lost with its worker `max_lost` times; one
    that has nothing to do for `dormant_after_ms` leaves memory.
    """

    max_payload: int = 1 << 20
    max_lost: int = 5
    dormant_after_ms: int = 1_000


class LiveRun:
    """A run that this worker holds: its history and, while it goes forward, its body.

    `turn` takes news and gives what has to be written; `reloading.reload` makes one from a journal. `held`
    are the outcomes of reads that wait for the next write, `elsewhere` what other workers
    serve, `code` the need of a run that can only go on under other code than this worker's, `notifiers`
    names who tells people. `noted` are the attributes that have changed since the last write; None where
    progress hasn't changed either.
    """

    def __init__(self, saga: Saga[..., Any] | None, row: RunRow, limits: Limits, *, worker: str = "") -> None:
        self.saga = saga
        self.row = row
        self.limits = limits
        self.worker = worker
        self.history = History(at=row.created_at)
        self.body: Body | None = None
        self.mail = row.mail
        self.lost = row.lost > 0
        self.held: list[Entry] = []
        self.elsewhere: Sequence[Serves] = ()
        self.code = ""
        self.notifiers: Sequence[str] = ()
        self.draft = Turn()
        self.noted: set[str] | None = None
        self.reads: dict[int, Command] = {}
        self.dues: list[tuple[int, int]] = []
        self.executing: set[tuple[int, int, bool]] = set()
        self.order: UndoOrder | None = None
        self.orders: dict[int, UndoOrder] = {}
        self.park_reason = ""
        self.park_needs: str | None = None
        self.of_body = False  # The reason to park lies in the body alone: turning round forgets it.
        self.needs: str | None = None
        self.window: int | None = None
        self.over: StartOver | None = None
        self.busy_at = 0

    def turn(self, news: Sequence[News], now: int) -> Turn:
        """Take news, let the body go on until it blocks, and give all that follows."""
        self.draft = Turn()
        return self.go_on(news, now)

    def go_on(self, news: Sequence[News], now: int) -> Turn:
        """Do what `turn` does, on top of what the turn holds already."""
        now = max(now, self.history.at)
        if news:
            self.busy_at = now
        for item in news:
            self._take(item, now)
        self._settle(now)
        return self.finish(now, dormant=True)

    def _take(self, item: News, now: int) -> None:
        try:
            settling.start_due(self, now)
            taking.take(self, item, now)
        except PARKING as problem:
            self.park(reason_of(problem), mends=isinstance(problem, Diverged))
            self.of_body = isinstance(problem, (Diverged, EndlessTurn))

    def _settle(self, now: int) -> None:
        try:
            settling.fire_due(self, now)
            settling.settle(self, now)
        except PARKING as problem:
            self.park(reason_of(problem), mends=isinstance(problem, Diverged))
            self.of_body = isinstance(problem, (Diverged, EndlessTurn))
        if not self.executing and not self._leaves():
            settling.leave(self, now)

    def flush(self, now: int) -> Turn:
        """Give what reads have left in memory, to be written now."""
        self.draft = Turn(durable=True)
        return self.finish(max(now, self.history.at))

    def cut(self, now: int, cut_short: Container[tuple[int, bool]]) -> Turn:
        """Give the run up at a shutdown.

        `cut_short` are the attempts, by number and whether they undo, that were stopped under way; what had
        not started is as if it had never been asked for.
        """
        self.draft = Turn()
        now = max(now, self.history.at)
        self.close()
        for step in list(self.history.active.values()):
            if step.phase is Phase.RUNNING and (step.ref, False) in cut_short:
                taking.lose(self, step, now, drained=True)
            elif step.undoing is Undoing.RUNNING and (step.ref, True) in cut_short:
                self.record(Kind.UNDO_LOST, now, step.ref, step.undo_attempt, step.name, {"drained": True})
        self.draft.change = self.state(due_at=now, release=True)
        return self.finish(now)

    def begin(self, floor: Entry | None, *, replaying: bool, letters: Sequence[Letter] = ()) -> None:
        """Make the body, where this process has its code: from the start, or from a new beginning.

        `letters` are the signals that the body before a new beginning has not received.
        """
        saga, row = self.saga, self.row
        if saga is None:
            return
        given, kept = (row.input, b"") if floor is None else floor_of(floor)
        arguments = saga.arguments.decode(given)
        occurrence = row.scheduled_for
        planned = None if occurrence is None else dt.datetime.fromtimestamp(occurrence / 1000, dt.UTC)
        current = CurrentRun(row.id, row.saga, row.version, planned)
        ref = 0 if floor is None else floor.ref or 0
        limit = self.limits.max_payload
        body = Body(saga, current, created_at=row.created_at, limit=limit, floor=ref, no_pivot=row.no_pivot)
        if floor is not None:
            body.loop.now_ms, body.stays = floor.at, floor.meta.get("stays", "")
        body.mailbox, body.known, body.kept = Mailbox(letters), self.history.attributes, kept
        body.traced = row.trace, row.root or row.id
        self.body, body.replaying = body, replaying
        body.start(arguments)

    def close(self) -> None:
        """Drop the body, if there is one."""
        if self.body is not None:
            self.body.shut()
            self.body = None

    def record(
        self,
        kind: Kind,
        at: int,
        ref: int | None = None,
        attempt: int | None = None,
        name: str | None = None,
        meta: dict[str, Any] | None = None,
        payload: bytes | None = None,
    ) -> tuple[Entry, int | None]:
        """Append an entry. Gives it, and the number of the step whose outcome it delivers to the body."""
        meta = meta or {}
        if kind in OF_WORKERS and self.worker != self.history.worker:
            meta["worker"] = self.worker
        entry = Entry(self.history.seq + 1, kind, at, ref, attempt, name, meta, payload)
        asked = self.history.asked
        delivered = self.history.apply(entry)
        if asked and self.history.pivoted:
            self.refuse_cancel(at)
        self.draft.entries.append(entry)
        if entry.kind is not Kind.PROGRESS and not entry.meta.get("read"):
            self.draft.durable = True
        if self.history.decided:
            parents.tell_decided(self, at)
        called_off, self.history.called_off = self.history.called_off, []
        for child in called_off:
            children.call_off(self, child, at)
        return entry, delivered

    def tell(
        self,
        kind: Kind,
        at: int,
        ref: int | None = None,
        attempt: int | None = None,
        name: str | None = None,
        meta: dict[str, Any] | None = None,
        payload: bytes | None = None,
    ) -> None:
        """Append an entry that may be news to the body, and let the body go on with it."""
        entry, delivered = self.record(kind, at, ref, attempt, name, meta, payload)
        if self.body is not None and not self.park_reason:
            settling.turn_round(self, at)
        if self.body is not None and not self.park_reason:
            if delivered is not None or kind in TOLD:
                self.advance(entry, delivered)
            self.collect(at)

    def advance(self, entry: Entry, delivered: int | None) -> None:
        """Let the body go on with what an entry tells it. Raises `Diverged` where it can't."""
        body = self.body
        if body is None:
            return
        if entry.kind is Kind.FIRED:
            try:
                body.fire(entry.ref or 0, entry.at)
            except KeyError:
                raise Diverged(
                    f"journal entry {entry.seq} says: timer {entry.ref} fired; the body has no such timer"
                ) from None
        elif entry.kind is Kind.ROLLED_BACK:
            body.rolled_back(entry.ref or 0, entry.at)
        elif entry.kind is Kind.SIGNAL:
            body.signal(letter_of(entry), entry.at)
        elif entry.kind is Kind.DECIDED:
            body.decided(entry.ref or 0, approvals.answer_of(entry), entry.at)
        elif delivered is not None:
            step = self.history.steps[delivered]
            if step.child is not None and step.child.stays:
                body.stays = body.stays or step.name
            if step.phase is Phase.LANDED:
                body.deliver(delivered, step.result or b"null", entry.at)
            else:
                body.reject(delivered, self._error_of(step), entry.at)

    def collect(self, now: int) -> None:
        """Record what the body has just asked for, and what it no longer waits for."""
        body = self.body
        if body is None:
            return
        commands = body.take_issued()
        noting.collect(self, body, now)
        while body.given_up:
            ref = body.given_up.pop(0)
            if self.reads.pop(ref, None) is not None:
                self.executing.discard((ref, 1, False))
            elif self.over is not None and self.over.ref == ref:
                self.over = None
            elif ref in self.history.steps:
                self._abandon(self.history.steps[ref], now)
            else:
                approvals.withdraw(self, ref, now)
        for command in commands:
            if isinstance(command, RollBack):
                self.record(Kind.ROLLBACK, now, command.ref, name="savepoint")
            elif isinstance(command, StartOver):
                self.over = command
            elif isinstance(command, AskPeople):
                approvals.ask(self, command, now)
            else:
                asking.ask(self, command, now)

    def take_back(self, step: StepRecord, now: int) -> None:
        """Record that a call whose intent is in this very turn was taken back."""
        error = describe(NoEffect("not sent: the run was already to be undone")).to_json()
        meta = {"outcome": Outcome.NOT_LANDED.value}
        self.record(Kind.FAILED, now, step.ref, step.attempt, step.name, meta, error)

    def wait_until(self, due: int, ref: int) -> None:
        """Note that a step, or its compensation, is due again at a moment."""
        heapq.heappush(self.dues, (due, ref))

    def switch(self, cause: Cause, now: int, error: bytes | None = None) -> None:
        """Decide: from here on the run compensates, and its body never runs again."""
        self.close()
        if self.of_body:
            # What is wrong with a body doesn't matter any more: compensating reads the journal.
            self.park_reason, self.park_needs, self.of_body = "", None, False
        self.executing.difference_update((ref, 1, False) for ref in self.reads)
        self.reads.clear()
        approvals.withdraw_all(self, now)
        self.record(Kind.SWITCH, now, meta={"cause": cause.value}, payload=error)
        for attempt in [attempt for attempt in self.draft.attempts if not attempt.undoing]:
            self._withdraw(attempt, now)
        self.dues = [item for item in self.dues if self._still_due(self.history.steps[item[1]])]
        heapq.heapify(self.dues)
        self.draft.change = self.state()

    def _still_due(self, step: StepRecord) -> bool:
        return step.undoing is Undoing.WAITING or step.phase is Phase.DOUBTFUL

    def refuse_cancel(self, now: int) -> None:
        """Note that a cancel came too late: the run has passed its point of no return (S14)."""
        why = json.dumps({"reason": "point of no return"})
        self.draft.audit.append(AuditRow(self.row.id, now, self.worker, "cancel refused", why))

    def park(self, reason: str, *, mends: bool = False) -> None:
        """Note that the run needs a person; it is parked once nothing of it is under way.

        `mends` tells that other code may go on with it, so that it is tried again by itself.
        """
        if not self.park_reason:
            self.park_reason = reason
            self.park_needs = (self.code or None) if mends else None
            self.draft.durable = True
            self.close()

    def state(
        self, *, due_at: int | None = None, release: bool = False, needs: str | None = None
    ) -> RunChange:
        """Give the run's row as it is now."""
        history = self.history
        status = Stored.COMPENSATING if history.compensating else Stored.OPEN
        return RunChange(
            status, history.cause, None, history.error, None, due_at, release, needs, settling.waits_for(self)
        )

    def finish(self, now: int, *, dormant: bool = False) -> Turn:
        """Close the turn: when to look again, and whether anything has to be written first."""
        draft = self.draft
        draft.wake_at = settling.wake_at(self)
        draft.idle = not self.executing
        if dormant and draft.idle and not self._leaves():
            wake = draft.wake_at
            rest = self._rest(now)
            if rest is not None and (wake is None or rest < wake):
                draft.wake_at = rest
            elif wake is None or wake - now > self.limits.dormant_after_ms:
                draft.change = self.state(due_at=wake, release=True)
        told = draft.tells or draft.starts or draft.taken
        durable = draft.durable or draft.change is not None or bool(told)
        entries = [*self.held, *draft.entries]
        draft.durable = durable or len(entries) >= MOST_HELD
        self.held, draft.entries = ([], entries) if draft.durable else (entries, [])
        if draft.durable:
            draft.shown = noting.shown(self)
        return draft

    def _withdraw(self, attempt: Attempt, now: int) -> None:
        """Take back an attempt that this very turn asks for: it was never sent."""
        self.draft.attempts.remove(attempt)
        self.executing.discard((attempt.ref, attempt.attempt, False))
        step = self.history.steps.get(attempt.ref)
        if step is None or attempt.probing:
            return
        if any(entry.ref == step.ref and entry.kind in AHEAD for entry in self.draft.entries):
            self.take_back(step, now)
        else:
            # It was on record before this turn: only whoever had the run then knows that it wasn't sent.
            taking.lose(self, step, now, drained=True)

    def _rest(self, now: int) -> int | None:
        """Say how long it stays in memory to hear more; one that was lost mustn't hold up others like it."""
        until = self.busy_at + self.limits.dormant_after_ms
        listens = self.body is not None and bool(self.body.mailbox.awaited)
        waits = listens or any(step.child is not None for step in self.history.active.values())
        return until if waits and not self.lost and now < until else None

    def _leaves(self) -> bool:
        change = self.draft.change
        return change is not None and change.release

    def _abandon(self, step: StepRecord, now: int) -> None:
        if step.phase is Phase.FAILED and step.undoing is Undoing.DONE:
            return
        self.record(Kind.ABANDONED, now, step.ref, name=step.name)

    def _error_of(self, step: StepRecord) -> BaseException:
        if step.child is not None:
            return children.error_of(step)
        failure = Failure.from_json(step.error or b"{}")
        definition = STEPS.get(step.name)
        if definition is not None:
            kind = definition.known(failure.type)
            if kind is not None:
                return rebuild(failure, definition.known)
        return rebuild(failure, self.saga.known if self.saga is not None else lambda _name: None)


def reason_of(problem: BaseException) -> str:
    """Say why a run is parked, for a person."""
    if isinstance(problem, Diverged):
        return f"{NON_DETERMINISM}{problem.report}"
    return f"{type(problem).__name__}: {problem}"
