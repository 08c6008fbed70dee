"""What operators may do to a run, and what comes of it: pure decisions on its history (S25)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from amends.persistence.records import AuditRow, Cause, InboxRow
from amends.sagas.compensation import can_be_undone
from amends.sagas.history import History
from amends.sagas.journal import Kind
from amends.sagas.outcome import Outcome
from amends.sagas.registry import STEPS
from amends.sagas.step_record import Phase, StepRecord, Undoing

if TYPE_CHECKING:
    from amends.sagas.run import LiveRun


class Act(StrEnum):
    """What an operator does."""

    RETRY = "retry"
    """Try a step that is in doubt, or a compensation that failed for good, again."""
    RESOLVE = "resolve"
    """Say, with evidence, whether a step landed."""
    SKIP = "skip"
    """Leave out a compensation that failed for good: the effect stays."""
    WAIVE = "waive"
    """Give up what is owed, with a reason: the effect stays."""
    RESUME = "resume"
    """Let a parked run go on."""
    ABORT = "abort"
    """Undo what the run has done."""
    UNDO = "undo"
    """Undo a run that has completed."""


@dataclass(frozen=True, slots=True)
class Action:
    """One act of one operator: `ref` is the step's number, `landed` and `result` (JSON) are for `resolve`."""

    act: Act
    by: str
    ref: int | None = None
    reason: str | None = None
    landed: bool | None = None
    result: bytes | None = None

    def meta(self) -> dict[str, Any]:
        """Give what is recorded of it in the clear."""
        told = {"act": self.act.value, "by": self.by, "ref": self.ref, "reason": self.reason}
        found = told if self.landed is None else {**told, "landed": self.landed}
        return {name: value for name, value in found.items() if value is not None}


def from_inbox(row: InboxRow) -> Action:
    """Give the action of an inbox row. Raises `ValueError`, `KeyError` for one that is none."""
    meta = json.loads(row.meta or "{}")
    return Action(
        Act(meta["act"]), meta["by"], meta.get("ref"), meta.get("reason"), meta.get("landed"), row.payload
    )


def objection(history: History, action: Action) -> str | None:
    """Say why the action doesn't fit the run as it stands; None where it does."""
    if action.act in (Act.RETRY, Act.RESOLVE, Act.SKIP, Act.WAIVE):
        step = history.steps.get(action.ref or 0)
        if step is None:
            return f"the run has no step {action.ref}"
        given_up = history.compensating or step.abandoned
        if action.act is Act.RETRY and step.phase is Phase.DOUBTFUL and given_up:
            return f"step {step.ref} ({step.name}) was given up: say whether it landed, it isn't tried again"
        return OBJECTIONS[action.act](step, action)
    if action.act is Act.UNDO:
        return _to_undo(history)
    if action.act is Act.ABORT:
        return _to_abort(history)
    return "it has ended" if history.ended else None


def take(run: LiveRun, row: InboxRow, now: int) -> None:
    """Carry out what an operator asked for; what no longer fits is refused, and audited."""
    action = from_inbox(row)
    told = objection(run.history, action)
    if told is not None:
        detail = json.dumps({**action.meta(), "refused": told})
        run.draft.audit.append(AuditRow(run.row.id, now, action.by, f"{action.act} refused", detail))
        run.draft.durable = True
    elif action.act in (Act.ABORT, Act.UNDO):
        turn_round(run, now, Cause.OPERATOR, action.meta())
    elif action.ref is not None:
        _settle(run, run.history.steps[action.ref], action, now)


def turn_round(run: LiveRun, now: int, cause: Cause, meta: dict[str, Any]) -> None:
    """Record that somebody wants the run undone, and decide: a pivot under way is waited for (S14)."""
    run.record(Kind.CANCEL, now, meta={**meta, "cause": cause.value})
    history = run.history
    if history.pivoted:
        run.refuse_cancel(now)
    elif history.asked is not None and not history.pivots:
        run.switch(history.asked, now)


def _settle(run: LiveRun, step: StepRecord, action: Action, now: int) -> None:
    by = {"by": action.by} if action.reason is None else {"by": action.by, "reason": action.reason}
    if action.act is Act.RETRY:
        _retry(run, step, by, now)
    elif action.act is not Act.RESOLVE:
        run.tell(Kind.WAIVED, now, step.ref, None, step.name, {**by, "act": action.act.value})
    elif action.landed:
        meta = {"started": step.started_at, "resolved": True, **by}
        run.tell(Kind.LANDED, now, step.ref, step.attempt, step.name, meta, action.result or b"null")
    else:
        meta = {"outcome": Outcome.NOT_LANDED.value, "resolved": True, **by}
        run.tell(Kind.FAILED, now, step.ref, step.attempt, step.name, meta, step.error)


def _retry(run: LiveRun, step: StepRecord, by: dict[str, Any], now: int) -> None:
    meta = {"due": now, **by}
    if step.undoing is Undoing.STUCK:
        run.record(Kind.UNDO_RETRY, now, step.ref, step.undo_attempt, step.name, meta, step.undo_error)
    else:
        meta["outcome"] = Outcome.UNKNOWN.value
        run.record(Kind.RETRY, now, step.ref, step.attempt, step.name, meta, step.error)
    run.wait_until(now, step.ref)


def _to_retry(step: StepRecord, _action: Action) -> str | None:
    if step.undoing is Undoing.STUCK or step.phase is Phase.DOUBTFUL:
        return None
    return f"step {step.ref} ({step.name}) is neither in doubt nor is its compensation stuck"


def _to_resolve(step: StepRecord, action: Action) -> str | None:
    if step.phase is Phase.DOUBTFUL:
        return _unfit(step, action) if action.landed else None
    settled = step.undoing in (Undoing.NONE, Undoing.STUCK) and not step.moving
    if settled and step.doubtful and not step.landed and not action.landed:
        return None
    return f"what became of step {step.ref} ({step.name}) is not in doubt"


def _unfit(step: StepRecord, action: Action) -> str | None:
    definition = STEPS.get(step.name)
    if definition is None:
        return None
    try:
        definition.result.decode(action.result or b"null")
    except ValueError as error:
        return f"the result doesn't fit what step {step.ref} ({step.name}) returns: {error}"
    return None


def _to_skip(step: StepRecord, _action: Action) -> str | None:
    if step.undoing is Undoing.STUCK:
        return None
    return f"the compensation of step {step.ref} ({step.name}) isn't stuck"


def _to_waive(step: StepRecord, action: Action) -> str | None:
    if not action.reason:
        return "to waive what is owed takes a reason"
    if step.owed and not step.moving and step.undoing in (Undoing.NONE, Undoing.STUCK):
        return None
    return f"nothing is owed for step {step.ref} ({step.name}), or its compensation is under way"


def _to_abort(history: History) -> str | None:
    if history.ended:
        return "it has ended"
    if history.pivoted:
        return "it has passed its point of no return"
    return "it is being undone already" if history.compensating else None


def _to_undo(history: History) -> str | None:
    if history.pivoted:
        return "it has passed its point of no return"
    if not history.ended or history.compensating:
        return "only a run that has completed can be undone; cancel one that is going on"
    return None if can_be_undone(history) else "none of its steps has a compensation that could be run"


OBJECTIONS = {Act.RETRY: _to_retry, Act.RESOLVE: _to_resolve, Act.SKIP: _to_skip, Act.WAIVE: _to_waive}
