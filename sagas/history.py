"""A run's state as its journal tells it: the fold of the entries, one at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from amends.persistence.records import Cause
from amends.sagas.journal import Entry, Kind, split_read
from amends.sagas.outcome import Effect, Outcome
from amends.sagas.step_record import MOVING, UNDER_WAY, Phase, StepRecord, Undoing


@dataclass(slots=True)
class History:
    """The state of a run, folded from its journal; nothing else decides what is owed.

    `active` holds the steps with a call under way or due, forward or backward; `unsettled` those to be
    undone although the run goes forward; `stuck` those whose compensation failed for good. `doubts` are those
    of which a probe or a person has to say whether they landed, `pivots` the pivots on their way; `pivoted`
    tells that one landed. `rolling` are the savepoints that are being undone, with their steps. `asked` is
    what wants the run undone and waits for a pivot's outcome, `overdue` tells that the deadline passed when
    it couldn't be. `parked_lost` tells that the run was parked before anybody could say what became of the
    attempts under way.
    """

    steps: dict[int, StepRecord] = field(default_factory=dict)
    active: dict[int, StepRecord] = field(default_factory=dict)
    unsettled: dict[int, StepRecord] = field(default_factory=dict)
    stuck: dict[int, StepRecord] = field(default_factory=dict)
    doubts: dict[int, StepRecord] = field(default_factory=dict)
    pivots: dict[int, StepRecord] = field(default_factory=dict)
    rolling: dict[int, list[StepRecord]] = field(default_factory=dict)
    pivoted: bool = False
    asked: Cause | None = None
    overdue: bool = False
    seq: int = 0
    at: int = 0
    compensating: bool = False
    cause: Cause | None = None
    error: bytes | None = None
    parked: bool = False
    park_reason: str = ""
    parked_lost: bool = False
    ended: bool = False
    undone: bool = False
    landed_after_undo: dict[int, StepRecord] = field(default_factory=dict)

    def apply(self, entry: Entry) -> int | None:
        """Take one entry in. Gives the number of the step whose outcome the entry delivers to the body."""
        self.seq = entry.seq
        self.at = max(self.at, entry.at)
        handle = APPLY.get(entry.kind)
        step = None
        if handle is not None:
            step = handle(self, entry)
        if step is None:
            return None
        self._file(step)
        return self._delivers(step, entry)

    def _file(self, step: StepRecord) -> None:
        if step.phase in UNDER_WAY or step.undoing in MOVING:
            self.active[step.ref] = step
        else:
            self.active.pop(step.ref, None)
        if step.undoing is Undoing.NONE and step.to_settle:
            self.unsettled[step.ref] = step
        elif self.unsettled:
            self.unsettled.pop(step.ref, None)
        if step.undoing is Undoing.STUCK and step.owed:
            self.stuck[step.ref] = step
        elif self.stuck:
            self.stuck.pop(step.ref, None)
        if step.phase is Phase.DOUBTFUL:
            self.doubts[step.ref] = step
        elif self.doubts:
            self.doubts.pop(step.ref, None)
        if step.effect is Effect.PIVOT:
            self._file_pivot(step)

    def _file_pivot(self, step: StepRecord) -> None:
        if step.landed:
            self.pivoted, self.asked = True, None
        if step.moving:
            self.pivots[step.ref] = step
        else:
            self.pivots.pop(step.ref, None)

    def _delivers(self, step: StepRecord, entry: Entry) -> int | None:
        if step.delivered_seq is not None or step.abandoned or self.compensating or step.moving:
            return None
        if entry.kind in (Kind.LATE, Kind.ABANDONED):
            return None
        if step.phase is Phase.FAILED and step.owed:
            return None
        step.delivered_seq = entry.seq
        return step.ref

    def _of(self, entry: Entry) -> StepRecord:
        if entry.ref is None or entry.ref not in self.steps:
            raise ValueError(f"journal entry {entry.seq} ({entry.kind}) speaks of a step that has no intent")
        return self.steps[entry.ref]


def _intent(history: History, entry: Entry) -> StepRecord:
    meta = entry.meta
    if entry.ref is None:
        raise ValueError(f"journal entry {entry.seq} is an intent without a number")
    step = StepRecord(
        entry.ref,
        entry.name or "",
        Effect(meta["effect"]),
        meta["key"],
        meta.get("handler"),
        entry.payload or b"",
        entry.seq,
        entry.at,
        meta["timeout"],
        entry.attempt or 1,
        scopes=tuple(meta.get("scopes", ())),
    )
    history.steps[step.ref] = step
    return step


def _rollback(history: History, entry: Entry) -> None:
    scope = entry.ref or 0
    history.rolling[scope] = [step for step in history.steps.values() if scope in step.scopes]


def _rolled_back(history: History, entry: Entry) -> None:
    history.rolling.pop(entry.ref or 0, None)


def _outcome_of(history: History, entry: Entry) -> StepRecord:
    """Find the step of an outcome; a read has no intent, its outcome carries the arguments."""
    if entry.ref is not None and entry.ref not in history.steps and entry.meta.get("read"):
        arguments, outcome = split_read(entry.payload or b"")
        step = StepRecord(
            entry.ref,
            entry.name or "",
            Effect.READ,
            "",
            None,
            arguments,
            entry.seq,
            entry.meta.get("started", entry.at),
            0,
        )
        history.steps[entry.ref] = step
        step.result = step.error = outcome
        return step
    step = history._of(entry)  # noqa: SLF001 - the fold is one thing in several functions
    if entry.kind is Kind.LANDED:
        step.result = entry.payload
    else:
        step.error = entry.payload
    return step


def _landed(history: History, entry: Entry) -> StepRecord:
    step = _outcome_of(history, entry)
    step.phase, step.landed, step.ended_at, step.due_at = Phase.LANDED, True, entry.at, None
    return step


def _failed(history: History, entry: Entry) -> StepRecord:
    step = _outcome_of(history, entry)
    step.phase, step.ended_at, step.due_at = Phase.FAILED, entry.at, None
    _weigh(step, entry)
    return step


def _weigh(step: StepRecord, entry: Entry) -> None:
    outcome = entry.meta.get("outcome")
    if entry.meta.get("resolved") and outcome == Outcome.NOT_LANDED:
        # A probe or a person has looked: that holds for all attempts so far.
        step.doubtful = False
    step.landed = step.landed or outcome == Outcome.LANDED
    step.doubtful = step.doubtful or outcome == Outcome.UNKNOWN


def _retry(history: History, entry: Entry) -> StepRecord:
    step = history._of(entry)  # noqa: SLF001 - as above
    _weigh(step, entry)
    step.phase, step.due_at, step.error = Phase.WAITING, entry.meta["due"], entry.payload
    step.attempt = (entry.attempt or step.attempt) + 1
    if "by" in entry.meta:
        # Asked for by a person: its policy counts from here on.
        step.lost = step.attempt - 1
    return step


def _lost(history: History, entry: Entry) -> StepRecord:
    step = history._of(entry)  # noqa: SLF001 - as above
    step.doubtful, step.window = True, entry.meta["window"]
    step.lost += 0 if entry.meta.get("drained") else 1
    if entry.meta.get("final"):
        step.phase, step.ended_at, step.error, step.due_at = Phase.FAILED, entry.at, entry.payload, None
    elif entry.meta.get("doubt"):
        step.phase, step.error, step.probes = Phase.DOUBTFUL, entry.payload, 0
        step.due_at = entry.meta.get("due")
    else:
        step.phase, step.attempt = Phase.RUNNING, (entry.attempt or step.attempt) + 1
        step.due_at = None
    return step


def _doubt(history: History, entry: Entry) -> StepRecord:
    step = history._of(entry)  # noqa: SLF001 - as above
    if entry.meta.get("probed"):
        step.probes += 1
    else:
        step.probes = 0
        _weigh(step, entry)
    step.phase, step.due_at, step.error = Phase.DOUBTFUL, entry.meta.get("due"), entry.payload
    return step


def _beat(history: History, entry: Entry) -> None:
    history._of(entry).details = entry.payload  # noqa: SLF001 - as above


def _abandoned(history: History, entry: Entry) -> StepRecord:
    step = history._of(entry)  # noqa: SLF001 - as above
    step.abandoned, step.delivered_seq = True, None
    _stop_waiting(step, entry)
    return step


def _stop_waiting(step: StepRecord, entry: Entry) -> None:
    """End a step's wait for its next attempt, or for a probe; an attempt that was due may have been sent."""
    if step.phase is Phase.WAITING:
        due = step.due_at is not None and step.due_at <= entry.at
        unknown = step.effect is Effect.PIVOT and step.doubtful
        rest = Phase.DOUBTFUL if unknown else Phase.FAILED
        step.phase, step.due_at = Phase.RUNNING if due else rest, None
    elif step.phase is Phase.DOUBTFUL and step.handler is not None:
        # Its compensation copes with what nobody knows.
        step.phase, step.due_at = Phase.FAILED, None


def _late(history: History, entry: Entry) -> StepRecord | None:
    step = history.steps.get(entry.ref or 0)
    if step is None or entry.meta.get("undoing"):
        return None
    history.ended = False
    _weigh(step, entry)
    if entry.meta.get("after_undo"):
        history.landed_after_undo[step.ref] = step
    if step.result is None and entry.payload is not None and entry.meta.get("outcome") == Outcome.LANDED:
        step.result = entry.payload
    return step


def _cancel(history: History, entry: Entry) -> None:
    lost = history.pivoted or history.compensating
    history.asked = None if lost else Cause(entry.meta.get("cause", Cause.CANCEL))


def _overdue(history: History, entry: Entry) -> None:  # noqa: ARG001 - one shape for all
    history.overdue = True


def _switch(history: History, entry: Entry) -> None:
    history.compensating, history.cause, history.error = True, Cause(entry.meta["cause"]), entry.payload
    history.asked, history.ended = None, False
    for step in list(history.active.values()):
        _stop_waiting(step, entry)
        history._file(step)  # noqa: SLF001 - as above


def _undo(history: History, entry: Entry) -> StepRecord:
    step = history._of(entry)  # noqa: SLF001 - as above
    step.undoing, step.undo_attempt = Undoing.RUNNING, entry.attempt or 1
    step.undo_started_at, step.cause = entry.at, entry.meta["cause"]
    return step


def _undo_retry(history: History, entry: Entry) -> StepRecord:
    step = history._of(entry)  # noqa: SLF001 - as above
    step.undoing, step.undo_due_at, step.undo_error = Undoing.WAITING, entry.meta["due"], entry.payload
    step.undo_attempt = (entry.attempt or step.undo_attempt) + 1
    if "by" in entry.meta:
        step.undo_lost = step.undo_attempt - 1
    return step


def _waived(history: History, entry: Entry) -> StepRecord:
    step = history._of(entry)  # noqa: SLF001 - as above
    step.undoing, step.undo_due_at, history.undone = Undoing.WAIVED, None, True
    return step


def _undo_lost(history: History, entry: Entry) -> StepRecord:
    step = history._of(entry)  # noqa: SLF001 - as above
    step.undoing, step.undo_due_at = Undoing.RUNNING, None
    step.undo_lost += 0 if entry.meta.get("drained") else 1
    step.undo_attempt = (entry.attempt or step.undo_attempt) + 1
    return step


def _undone(history: History, entry: Entry) -> StepRecord:
    step = history._of(entry)  # noqa: SLF001 - as above
    step.undoing, step.undo_due_at, history.undone = Undoing.DONE, None, True
    return step


def _undo_failed(history: History, entry: Entry) -> StepRecord:
    step = history._of(entry)  # noqa: SLF001 - as above
    step.undoing, step.undo_due_at, step.undo_error = Undoing.STUCK, None, entry.payload
    return step


def _parked(history: History, entry: Entry) -> None:
    history.parked, history.park_reason = True, entry.meta.get("reason", "")
    history.parked_lost = bool(entry.meta.get("lost"))


def _resumed(history: History, entry: Entry) -> None:  # noqa: ARG001 - one shape for all
    history.parked, history.park_reason, history.parked_lost = False, "", False


def _ended(history: History, entry: Entry) -> None:  # noqa: ARG001 - one shape for all
    history.ended = True


APPLY: dict[Kind, Callable[[History, Entry], StepRecord | None]] = {
    Kind.INTENT: _intent,
    Kind.BEAT: _beat,
    Kind.LANDED: _landed,
    Kind.FAILED: _failed,
    Kind.RETRY: _retry,
    Kind.LOST: _lost,
    Kind.ABANDONED: _abandoned,
    Kind.DOUBT: _doubt,
    Kind.ROLLBACK: _rollback,
    Kind.ROLLED_BACK: _rolled_back,
    Kind.LATE: _late,
    Kind.CANCEL: _cancel,
    Kind.OVERDUE: _overdue,
    Kind.SWITCH: _switch,
    Kind.UNDO: _undo,
    Kind.UNDO_RETRY: _undo_retry,
    Kind.UNDO_LOST: _undo_lost,
    Kind.UNDONE: _undone,
    Kind.UNDO_FAILED: _undo_failed,
    Kind.WAIVED: _waived,
    Kind.PARKED: _parked,
    Kind.RESUMED: _resumed,
    Kind.ENDED: _ended,
}
