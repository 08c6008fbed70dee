"""The entries of a run's journal."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from pydantic_core import to_json

from amends.persistence.errors import RecordUnreadable
from amends.persistence.records import EntryRow

FORMAT: Final = 1
"""The layout of meta and payload that this code writes, and the newest that it reads."""


OPERATOR: Final = "operator"
"""The kind of an inbox row that holds an operator's action; what comes of it are entries of other kinds."""


WAKE: Final = "wake"
"""The kind of an inbox row that ends a body's sleeping; what comes of it are `FIRED` entries."""


class Kind(StrEnum):
    """What an entry records."""

    INTENT = "intent"
    """A step is about to be executed: name, arguments, key, effect, compensation."""
    BEAT = "beat"
    """An attempt under way told how far it is; the payload reaches the next attempt."""
    LANDED = "landed"
    """A step's effect is in the world; the payload is its result."""
    FAILED = "failed"
    """A step failed for good; the payload is its error."""
    RETRY = "retry"
    """Attempt n of a step failed, n + 1 is due: also the write-ahead of n + 1."""
    LOST = "lost"
    """Attempt n of a step was lost with its worker; n + 1, if any, follows."""
    DOUBT = "doubt"
    """Nobody knows whether a step landed: a probe or a person has to say before anything follows from it."""
    ABANDONED = "abandoned"
    """The body has given a step up: its outcome will not be delivered."""
    LATE = "late"
    """An outcome that came from a former owner, or after the attempt counted as failed."""
    ROLLBACK = "rollback"
    """The decision about a savepoint: the steps called in it are undone, beside the body."""
    ROLLED_BACK = "rolled_back"
    """A savepoint's steps are undone; the body goes on."""
    CHILD = "child"
    """A child run is parked or goes on again, or says of a pivot of its that it is due, or settled."""
    GRANTED = "granted"
    """The pivot of a child run may be executed: the runs above wait for its outcome."""
    APPROVAL = "approval"
    """People are asked to approve what is in the payload."""
    REMINDED = "reminded"
    """Nobody has decided for a while: whoever may approve is reminded."""
    ESCALATED = "escalated"
    """Nobody has decided in time: others are asked as well."""
    DECIDED = "decided"
    """An approval is decided, or its time over; the payload is what was filled in, and the reason."""
    WITHDRAWN = "withdrawn"
    """The body no longer waits for an approval."""
    SIGNAL = "signal"
    """Somebody has sent the run a signal; the payload waits until the body receives it."""
    FLOOR = "floor"
    """The body begins anew with the input in the payload: replay starts here, undoing reads on before it."""
    ATTRIBUTES = "attributes"
    """The run, or a step of it, said what it is about; those that are null are removed."""
    PROGRESS = "progress"
    """The run, or a step of it, said how far it is."""
    FIRED = "fired"
    """A timer of the body fired."""
    CANCEL = "cancel"
    """Somebody asked to cancel the run."""
    OVERDUE = "overdue"
    """The deadline passed after the point of no return: the run goes forward all the same."""
    SWITCH = "switch"
    """The decision: from here on the run compensates."""
    UNDO = "undo"
    """A compensation is about to be executed."""
    UNDO_RETRY = "undo_retry"
    """Attempt n of a compensation failed, n + 1 is due: also the write-ahead of n + 1."""
    UNDO_LOST = "undo_lost"
    """Attempt n of a compensation was lost with its worker; n + 1 follows."""
    UNDONE = "undone"
    """A compensation succeeded."""
    UNDO_FAILED = "undo_failed"
    """A compensation failed for good."""
    WAIVED = "waived"
    """A person gave up a compensation: the effect stays, and is said to."""
    PARKED = "parked"
    """The run waits for a person; the reason says why."""
    RESUMED = "resumed"
    """A parked run goes on."""
    ENDED = "ended"
    """The run ended."""


OF_WORKERS: Final = frozenset(
    {Kind.LANDED, Kind.FAILED, Kind.RETRY, Kind.LOST, Kind.DOUBT, Kind.UNDO, Kind.UNDONE, Kind.UNDO_RETRY}
    | {Kind.UNDO_LOST, Kind.UNDO_FAILED}
)
"""The entries that say which worker has made an attempt, where it is another one than before."""


class Said(StrEnum):
    """What a child run tells its parent."""

    ENDED = "ended"
    """How it ended: the entry is `LANDED`, `FAILED` or `UNDONE` then."""
    PARKED = "parked"
    RESUMED = "resumed"
    ASKS = "asks"
    """A pivot of it is due: may it be executed?"""
    GRANTED = "granted"
    """The parent's own word: it may, so that the parent waits for the outcome from here on."""
    REFUSED = "refused"
    """The parent's own word: the child has been called off meanwhile."""
    PIVOTED = "pivoted"
    """The pivot landed."""
    OVER = "over"
    """The pivot didn't land, or isn't wanted any more."""


@dataclass(slots=True)
class Entry:
    """One journal entry in memory. Times are milliseconds of database time; `ref` numbers steps, timers."""

    seq: int
    kind: Kind
    at: int
    ref: int | None = None
    attempt: int | None = None
    name: str | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    payload: bytes | None = None

    def to_row(self, run_id: str) -> EntryRow:
        """Give the row to be written."""
        meta = _meta(self.meta) if self.meta else None
        return EntryRow(
            run_id,
            self.seq,
            TEXT[self.kind],
            self.at,
            self.ref,
            self.attempt,
            self.name,
            meta,
            self.payload,
            FORMAT,
        )


TEXT = {kind: str(kind) for kind in Kind}


def _meta(meta: dict[str, Any]) -> str:
    if len(meta) == 1:
        # Every result that lands has just one of these; they are written a million times.
        (name,) = meta
        if name in ("started", "since"):
            return f'{{"{name}":{meta[name]}}}'
    try:
        return to_json(meta).decode()
    except ValueError:
        # Half of a surrogate pair, typed by somebody: the escapes of plain JSON take it.
        return json.dumps(meta, separators=(",", ":"))


def from_row(row: EntryRow) -> Entry:
    """Give the entry of a stored row.

    Raises:
        RecordUnreadable: newer code wrote it, or it isn't an entry at all.
    """
    if row.format > FORMAT:
        raise RecordUnreadable(
            f"Entry {row.seq} of run {row.run_id} has format {row.format}, and this code reads formats up to"
            f" {FORMAT}. A newer amends wrote it: use that version."
        )
    try:
        meta = json.loads(row.meta) if row.meta else {}
        return Entry(row.seq, Kind(row.kind), row.at, row.ref, row.attempt, row.name, meta, row.payload)
    except ValueError as error:
        raise RecordUnreadable(f"Entry {row.seq} of run {row.run_id} can't be read: {error}") from error


def join_read(arguments: bytes, outcome: bytes) -> bytes:
    """Put a read's arguments and outcome, or a floor's and what it keeps, into one payload: two lines."""
    return arguments + b"\n" + outcome


def split_read(payload: bytes) -> tuple[bytes, bytes]:
    """Take apart what `join_read` joined."""
    arguments, _, outcome = payload.partition(b"\n")
    return arguments, outcome


def floor_of(entry: Entry) -> tuple[bytes, bytes]:
    """Give a new beginning's input, and what the body has kept for itself."""
    payload = entry.payload or b""
    return split_read(payload) if entry.meta.get("kept") else (payload, b"")
