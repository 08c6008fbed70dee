"""What each kind of entry says of a run: one function a kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from amends.persistence.records import Cause
from amends.sagas import noting
from amends.sagas.journal import Entry, Kind, Said, split_read
from amends.sagas.outcome import Effect, Outcome
from amends.sagas.request import ApprovalRecord, Request
from amends.sagas.step_record import ChildRecord, Phase, StepRecord, Undoing

if TYPE_CHECKING:
    from amends.sagas.history import History


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
    if step.effect is Effect.CHILD:
        step.child = ChildRecord(meta["version"])
    if meta.get("asks"):
        step.asks, step.phase = True, Phase.WAITING
    history.steps[step.ref] = step
    return step


def _child(history: History, entry: Entry) -> StepRecord:
    step = history.of(entry)
    child, said = step.child, entry.meta["said"]
    if child is None:
        raise ValueError(f"journal entry {entry.seq} ({entry.kind}) speaks of a step that is no child run")
    if said == Said.PARKED:
        child.blocked = entry.meta["reason"]
    elif said == Said.RESUMED:
        child.blocked = ""
    elif said == Said.GRANTED:
        child.pivoting += 1
    elif said in (Said.PIVOTED, Said.OVER):
        child.pivoting = max(0, child.pivoting - 1)
        child.pivoted = child.pivoted or said == Said.PIVOTED
    return step


def _granted(history: History, entry: Entry) -> StepRecord:
    step = history.of(entry)
    if step.asks and step.moving:
        step.asks, step.granted, step.phase = False, True, Phase.RUNNING
    return step


def _approval(history: History, entry: Entry) -> None:
    # A journal may be read without payloads, to see what is owed.
    request = Request(entry.name or "") if entry.payload is None else Request.from_json(entry.payload)
    ref = entry.ref or 0
    history.approvals[ref] = ApprovalRecord(ref, entry.meta["id"], request, entry.at)


def _reminded(history: History, entry: Entry) -> None:
    if (record := history.approvals.get(entry.ref or 0)) is not None:
        record.reminded = entry.attempt or record.reminded + 1


def _escalated(history: History, entry: Entry) -> None:
    if (record := history.approvals.get(entry.ref or 0)) is not None:
        record.escalated = True


def _decided(history: History, entry: Entry) -> None:
    history.approvals.pop(entry.ref or 0, None)


def _rollback(history: History, entry: Entry) -> None:
    scope = entry.ref or 0
    history.rolling[scope] = [step for step in history.steps.values() if scope in step.scopes]
    for step in history.rolling[scope]:
        history.call_off(step)


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
    step = history.of(entry)
    if entry.kind is Kind.LANDED:
        step.result = entry.payload
    else:
        step.error = entry.payload
    return step


def _landed(history: History, entry: Entry) -> StepRecord:
    step = _outcome_of(history, entry)
    step.phase, step.landed, step.ended_at, step.due_at = Phase.LANDED, True, entry.at, None
    _child_ended(history, step, entry)
    return step


def _child_ended(history: History, step: StepRecord, entry: Entry) -> None:
    child, meta = step.child, entry.meta
    if child is None:
        return
    child.status, child.cause = meta.get("status", "not started"), meta.get("cause")
    child.owes, child.stands = bool(meta.get("owes")), bool(meta.get("stands"))
    child.stays, child.blocked, child.pivoting = meta.get("stays", ""), "", 0
    child.pivoted = child.pivoted or bool(meta.get("pivoted"))
    history.undone = history.undone or bool(meta.get("undone"))


def _failed(history: History, entry: Entry) -> StepRecord:
    step = _outcome_of(history, entry)
    step.phase, step.ended_at, step.due_at = Phase.FAILED, entry.at, None
    step.asks = False
    _weigh(step, entry)
    _child_ended(history, step, entry)
    return step


def _weigh(step: StepRecord, entry: Entry) -> None:
    outcome = entry.meta.get("outcome")
    if entry.meta.get("resolved") and outcome == Outcome.NOT_LANDED:
        # A probe or a person has looked: that holds for all attempts so far.
        step.doubtful = False
    step.landed = step.landed or outcome == Outcome.LANDED
    step.doubtful = step.doubtful or outcome == Outcome.UNKNOWN


def _retry(history: History, entry: Entry) -> StepRecord:
    step = history.of(entry)
    _weigh(step, entry)
    step.phase, step.due_at, step.error = Phase.WAITING, entry.meta["due"], entry.payload
    step.attempt = (entry.attempt or step.attempt) + 1
    if "by" in entry.meta:
        # Asked for by a person: its policy counts from here on.
        step.lost = step.attempt - 1
    return step


def _lost(history: History, entry: Entry) -> StepRecord:
    step = history.of(entry)
    step.doubtful, step.window = True, entry.meta["window"]
    step.astray |= {entry.attempt or step.attempt}
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
    step = history.of(entry)
    if entry.meta.get("probed"):
        step.probes += 1
    else:
        step.probes = 0
        _weigh(step, entry)
    step.phase, step.due_at, step.error = Phase.DOUBTFUL, entry.meta.get("due"), entry.payload
    return step


def _beat(history: History, entry: Entry) -> None:
    history.of(entry).details = entry.payload


def _abandoned(history: History, entry: Entry) -> StepRecord:
    step = history.of(entry)
    step.abandoned, step.delivered_seq = True, None
    _stop_waiting(step, entry)
    history.call_off(step)
    return step


def _stop_waiting(step: StepRecord, entry: Entry) -> None:
    """End a step's wait for its next attempt, or for a probe; an attempt that was due may have been sent."""
    if step.asks:
        step.phase, step.asks = Phase.FAILED, False
    elif step.phase is Phase.WAITING:
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
    if entry.meta.get("outcome") != Outcome.UNKNOWN:
        step.astray -= {entry.attempt or 0}
    if not step.astray:
        # Of whatever was lost it is known what came of it.
        step.window = None
    if entry.meta.get("after_undo"):
        history.landed_after_undo[step.ref] = step
    landed = entry.meta.get("outcome") == Outcome.LANDED and not entry.meta.get("result_lost")
    if step.result is None and entry.payload is not None and landed:
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
    history.approvals.clear()
    for step in list(history.active.values()):
        _stop_waiting(step, entry)
        history.call_off(step)
        history.file(step)


def _undo(history: History, entry: Entry) -> StepRecord:
    step = history.of(entry)
    step.undoing, step.undo_attempt = Undoing.RUNNING, entry.attempt or 1
    step.undo_started_at, step.cause = entry.at, entry.meta["cause"]
    return step


def _undo_retry(history: History, entry: Entry) -> StepRecord:
    step = history.of(entry)
    step.undoing, step.undo_due_at, step.undo_error = Undoing.WAITING, entry.meta["due"], entry.payload
    step.undo_attempt = (entry.attempt or step.undo_attempt) + 1
    if "by" in entry.meta:
        step.undo_lost = step.undo_attempt - 1
    return step


def _waived(history: History, entry: Entry) -> StepRecord:
    step = history.of(entry)
    step.undoing, step.undo_due_at, history.undone = Undoing.WAIVED, None, True
    return step


def _undo_lost(history: History, entry: Entry) -> StepRecord:
    step = history.of(entry)
    step.undoing, step.undo_due_at = Undoing.RUNNING, None
    step.undo_lost += 0 if entry.meta.get("drained") else 1
    step.undo_attempt = (entry.attempt or step.undo_attempt) + 1
    return step


def _undone(history: History, entry: Entry) -> StepRecord:
    step = history.of(entry)
    step.undoing, step.undo_due_at, history.undone = Undoing.DONE, None, True
    if step.child is not None:
        step.child.stands, step.child.blocked = bool(entry.meta.get("stands")), ""
    return step


def _undo_failed(history: History, entry: Entry) -> StepRecord:
    step = history.of(entry)
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
    Kind.APPROVAL: _approval,
    Kind.REMINDED: _reminded,
    Kind.ESCALATED: _escalated,
    Kind.DECIDED: _decided,
    Kind.WITHDRAWN: _decided,
    Kind.ATTRIBUTES: noting.apply_attributes,
    Kind.PROGRESS: noting.apply_progress,
    Kind.CHILD: _child,
    Kind.GRANTED: _granted,
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
