"""A child run's side: what it tells its parent, and what it waits for before a pivot (S14, S19)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from amends.persistence.records import InboxRow, RunRow, Status, Tell, Wake
from amends.sagas.compensation import standing
from amends.sagas.journal import Kind, Said
from amends.sagas.outcome import Effect
from amends.sagas.step_record import StepRecord

if TYPE_CHECKING:
    from amends.sagas.run import LiveRun

WAKES = {Said.RESUMED: Wake.CHILD, Said.PARKED: Wake.EVIDENCE}
"""Which of a child's words wake a parent that nobody would look at: a parked one, one that has ended."""


def tell(
    run: LiveRun, said: Said, now: int, meta: dict[str, Any] | None = None, payload: bytes | None = None
) -> None:
    """Tell the parent something, if there is one; what gave rise to it was just recorded."""
    if run.row.parent is not None:
        number = len(run.draft.tells)
        run.draft.tells.append(_message(run.row, said, run.history.seq, number, now, meta or {}, payload))


def tell_parked(row: RunRow, reason: str, seq: int, now: int) -> tuple[Tell, ...]:
    """Make the message of a run that is parked without a turn of its own."""
    return () if row.parent is None else (_message(row, Said.PARKED, seq, 0, now, {"reason": reason}, None),)


def tell_end(run: LiveRun, status: Status, result: bytes | None, now: int) -> None:
    """Tell the parent how the run ended, and what that leaves behind."""
    if run.row.parent is None:
        return
    history = run.history
    meta: dict[str, Any] = {"status": status.value}
    stays = next((step.name for step in history.steps.values() if _in_the_way(step)), None)
    if status is Status.COMPLETED:
        steps = history.steps.values()
        owes = any(step.owed for step in steps)
        facts = {
            "owes": owes,
            "stands": any(not step.owed for step in standing(history.steps)),
            "stays": stays,
            "pivoted": history.pivoted,
        }
    else:
        facts = {
            "cause": None if history.cause is None else history.cause.value,
            "stands": bool(standing(history.steps)),
            "stays": stays,
            "undone": history.undone,
        }
    meta |= {name: value for name, value in facts.items() if value}
    tell(run, Said.ENDED, now, meta, result if status is Status.COMPLETED else history.error)


def ask_for(run: LiveRun, step: StepRecord, now: int) -> None:
    """Ask the runs above whether a pivot may be executed: none of them may turn round while it is."""
    tell(run, Said.ASKS, now, {"path": [step.ref]})


def take_grant(run: LiveRun, step: StepRecord, now: int) -> bool:
    """Take the word that a pivot may be executed; tell whether it is still wanted, the parent where not."""
    wanted = step.asks and step.moving
    run.record(Kind.GRANTED, now, step.ref, name=step.name)
    if not wanted:
        tell(run, Said.OVER, now)
    return wanted


def tell_decided(run: LiveRun, now: int) -> None:
    """Tell the runs above of granted pivots whose outcome is known now."""
    decided, run.history.decided = run.history.decided, []
    for step in decided:
        tell(run, Said.PIVOTED if step.landed else Said.OVER, now)


def _in_the_way(step: StepRecord) -> bool:
    """Tell whether a step would stand in the way of a pivot after it."""
    if step.child is not None:
        return bool(step.child.stays)
    return step.effect in (Effect.PLAIN, Effect.RETRIABLE)


def _message(
    row: RunRow, said: Said, seq: int, number: int, now: int, meta: dict[str, Any], payload: bytes | None
) -> Tell:
    told = {"ref": row.parent_ref, "said": said.value, **meta}
    key = f"child:{row.parent_ref}:{seq}:{number}"
    inbox = InboxRow(row.parent or "", key, Kind.CHILD.value, now, json.dumps(told), payload)
    return Tell(inbox, WAKES.get(said, Wake.NONE))
