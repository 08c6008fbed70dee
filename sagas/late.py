"""What came of an attempt, told to a run that is another worker's now (S5)."""

from __future__ import annotations

import json

from amends.persistence.records import InboxRow, Wake
from amends.sagas.journal import Kind
from amends.sagas.news import Attempted
from amends.sagas.outcome import Outcome


def late_message(run_id: str, item: Attempted, worker: str, now: int) -> tuple[InboxRow, Wake]:
    """Make the message, idempotent by attempt and worker; a forward call that landed reopens an end."""
    meta = {
        "ref": item.ref,
        "attempt": item.attempt,
        "undoing": item.undoing,
        "outcome": item.outcome.value,
        "started": item.started_at,
        "ended": item.ended_at,
        "worker": worker,
    }
    if item.outcome is Outcome.LANDED and item.error is not None:
        # It landed, and its result can't be had: what is told is the error that says so (S26).
        meta["result_lost"] = True
    key = f"late:{item.ref}:{item.attempt}:{'undo' if item.undoing else 'do'}:{worker}"
    row = InboxRow(run_id, key, Kind.LATE.value, now, json.dumps(meta), item.result or item.error)
    landed = item.outcome is Outcome.LANDED and not item.undoing
    return row, Wake.EVIDENCE if landed else Wake.NONE
