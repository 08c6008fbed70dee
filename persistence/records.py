"""The rows that persistence exchanges with its callers, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from amends.persistence.approval_records import Closing, NewApproval, Revocation, Vote
from amends.persistence.attribute_records import Shown
from amends.persistence.queue_records import Place, QueueChange
from amends.persistence.removal_records import Removal


class Status(StrEnum):
    """The stored status of a run; what a person sees of an open run is derived from it."""

    OPEN = "open"
    COMPENSATING = "compensating"
    PARKED = "parked"
    COMPLETED = "completed"
    COMPENSATED = "compensated"
    PARTIALLY_COMPENSATED = "partially_compensated"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Cause(StrEnum):
    """What ended a run, or turned it round; a field of its own beside the status."""

    ERROR = "error"
    CANCEL = "cancel"
    DEADLINE = "deadline"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run to be inserted, if its id is still free. Times are milliseconds of database time.

    A child run names its `parent` and the number of the call there, and the `root` above both; `no_pivot`
    says why nothing in it may be beyond undoing. `scheduled_for` is the occurrence of a schedule that the run
    was started for, `trace` says which trace it belongs to, where that was decided. With `queued` it begins
    once it has a place in its queue, those of smaller `priority` first; `queue_key` says with which others it
    takes turns, `above` (names, each in commas) in which queues the runs above it have places.
    """

    id: str
    saga: str
    version: str
    input: bytes
    created_at: int
    deadline_at: int | None = None
    queue: str = "default"
    parent: str | None = None
    parent_ref: int | None = None
    root: str | None = None
    no_pivot: str | None = None
    scheduled_for: int | None = None
    trace: str | None = None
    queued: bool = False
    queue_key: str | None = None
    priority: int = 0
    above: str | None = None


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run as stored.

    `mail` counts the inbox rows ever written for the run; `lost` counts the take-overs from dead workers
    since the run last made progress; `needs` names what a parked or released run waits for
    (a compensation handler); `owner` is the worker that holds the run. `parent` to `no_pivot` are a child
    run's, `scheduled_for` is a scheduled run's, and `trace` as it was decided (see `NewRun`).
    `waits_for` tells people what a released run waits for beside the time; `place` whether it waits for a
    place in its queue, or has one since `admitted_at`. `attributes` and `progress` are what it shows of
    itself, as JSON. `unreadable` says why a payload
    couldn't be decoded (it is left empty then).
    """

    id: str
    saga: str
    version: str
    queue: str
    status: Status
    cause: Cause | None
    input: bytes
    result: bytes | None
    error: bytes | None
    owner: str | None
    due_at: int | None
    deadline_at: int | None
    created_at: int
    ended_at: int | None
    mail: int
    lost: int
    needs: str | None
    parent: str | None = None
    parent_ref: int | None = None
    root: str | None = None
    no_pivot: str | None = None
    scheduled_for: int | None = None
    trace: str | None = None
    waits_for: str | None = None
    place: Place | None = None
    queue_key: str | None = None
    priority: int = 0
    above: str | None = None
    admitted_at: int | None = None
    attributes: str | None = None
    progress: str | None = None
    unreadable: str = ""


@dataclass(slots=True)
class EntryRow:
    """One entry of a run's journal.

    `ref` is the number of the command or timer that the entry speaks of, `attempt` its attempt, `at` the
    entry's time in milliseconds of database time, `meta` a small JSON object in the clear, `payload`
    JSON that has passed the codec, `format` the number of the way in which meta and payload are laid out.
    `unreadable` says why the payload couldn't be decoded (it is None then).
    """

    run_id: str
    seq: int
    kind: str
    at: int
    ref: int | None = None
    attempt: int | None = None
    name: str | None = None
    meta: str | None = None
    payload: bytes | None = None
    format: int = 1
    unreadable: str = ""


@dataclass(frozen=True, slots=True)
class InboxRow:
    """Something that others have to say to a run. `key` makes it idempotent, `number` counts."""

    run_id: str
    key: str
    kind: str
    at: int
    meta: str | None = None
    payload: bytes | None = None
    number: int = 0
    unreadable: str = ""


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One line of the audit trail: who did what to which run, and why."""

    run_id: str
    at: int
    actor: str
    action: str
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class RunChange:
    """The new state of a run's row, written whole.

    `release` gives the run up: no owner, to be claimed again from `due_at` on (never, when None, until
    an inbox row wakes it). Releasing sets `lost` to 0. `waits_for` tells people what it waits for,
    `undoable` says of a completed run that there is something to undo.
    """

    status: Status
    cause: Cause | None = None
    result: bytes | None = None
    error: bytes | None = None
    ended_at: int | None = None
    due_at: int | None = None
    release: bool = False
    needs: str | None = None
    waits_for: str | None = None
    undoable: bool = False


class Wake(StrEnum):
    """Which runs an inbox row wakes that nobody would look at otherwise; none, as a rule."""

    NONE = "none"
    CANCEL = "cancel"
    """A parked run that goes forward."""
    OPERATOR = "operator"
    """Any parked run; that it was lost with its workers is forgotten."""
    EVIDENCE = "evidence"
    """A run that has ended, but for a completed one."""
    UNDO = "undo"
    """A run that has completed."""
    PARENT = "parent"
    """A run that has ended, however it did, or is parked: its parent wants it undone, and to be told."""
    CHILD = "child"
    """A parked run, since what it waits for goes on."""


@dataclass(frozen=True, slots=True)
class Tell:
    """A message that a run's turn puts into another run's inbox, and whom it wakes."""

    row: InboxRow
    wake: Wake = Wake.NONE


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """A schedule as stored: what it starts and when, and how far it has come. Times are milliseconds.

    `definition` is a JSON object in the layout `format`. `next_at` is the occurrence that comes next (None:
    paused, or there is no other), `waiting_at` one that waits for the end of the run before it. `last_run` is
    the run that was started last by plan, for the occurrence `last_at`; `started` and `skipped` count
    occurrences. Each change raises `revision`. `busy` tells whether `last_run` goes on, `unreadable` why the
    input couldn't be decoded (it is left empty then): neither is stored.
    """

    id: str
    saga: str
    version: str
    input: bytes
    format: int
    definition: str
    paused: bool
    created_at: int
    updated_at: int
    next_at: int | None = None
    waiting_at: int | None = None
    last_run: str | None = None
    last_at: int | None = None
    started: int = 0
    skipped: int = 0
    last_skipped_at: int | None = None
    revision: int = 0
    busy: bool = False
    unreadable: str = ""


@dataclass(frozen=True, slots=True)
class ScheduleChange:
    """A schedule's new row, whole, or its deletion; loses where the stored one isn't of revision `seen`.

    There is no row of revision 0: with that, the schedule must be new.
    """

    row: ScheduleRow
    seen: int
    delete: bool = False


@dataclass(slots=True)
class Write:
    """What one turn, start or message wants written, all or nothing.

    `epoch` is the lease under which the run was claimed (None: an unowned write that needs no lease).
    `mail` makes the write conditional: it loses when the run has more inbox rows than that, but for rows of
    the kinds in `despite`.
    `taken` are the numbers of the inbox rows that became journal entries. `starts` are child runs, and
    `tells` what other runs are told.
    `progressed` sets `lost` back to 0. `fresh` refuses an inbox row whose key is there already, and with it
    the rest of the write, as `KNOWN`; otherwise such a row is done. `too_late` are lines for the audit trail
    that are written where the inbox row is refused because the run has ended. `asks` are approvals that the
    turn asks for, `closes` those that it has no more use for, `vote` is somebody's decision about one,
    `revoke` ends links to one. `shown` is what the run shows of itself from now on, where that has changed.
    `schedule` changes a schedule, and with it the rest is written or lost; `queue` changes a queue, `removal`
    removes runs.
    """

    run_id: str
    epoch: int | None = None
    start: NewRun | None = None
    entries: tuple[EntryRow, ...] = ()
    taken: tuple[int, ...] = ()
    change: RunChange | None = None
    mail: int | None = None
    despite: tuple[str, ...] = ()
    progressed: bool = False
    inbox: InboxRow | None = None
    wake: Wake = Wake.NONE
    fresh: bool = False
    audit: tuple[AuditRow, ...] = ()
    starts: tuple[NewRun, ...] = ()
    tells: tuple[Tell, ...] = ()
    too_late: tuple[AuditRow, ...] = ()
    schedule: ScheduleChange | None = None
    asks: tuple[NewApproval, ...] = ()
    closes: tuple[Closing, ...] = ()
    vote: Vote | None = None
    revoke: Revocation | None = None
    shown: Shown | None = None
    queue: QueueChange | None = None
    removal: Removal | None = None


class Written(StrEnum):
    """What became of one write."""

    DONE = "done"
    TAKEN = "taken"
    """A start whose id exists already: nothing of the write was written."""
    BEATEN = "beaten"
    """A conditional write that lost to a newer inbox row, or to another change of its schedule: nothing of it
    was written."""
    FENCED = "fenced"
    """The lease under which it was made is lost: nothing of it was written."""
    REFUSED = "refused"
    """The database refuses this very row, whatever else is in the batch: nothing of it was written."""
    KNOWN = "known"
    """An inbox row whose key is there already, where a fresh one was asked for."""
    ENDED = "ended"
    """An inbox row for a run that has ended."""
    CLOSED = "closed"
    """A vote that doesn't count; the receipt says why."""
    UNKNOWN_RUN = "unknown_run"
    """An inbox row for a run that doesn't exist."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer to one write: its fate and, where it was refused, the database's words."""

    written: Written
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A claimed run with its whole journal, in order, and its unread inbox rows, in order.

    `unreadable` names the first record that couldn't be decoded, and why: such a run can only be parked.
    `epoch` is the lease under which the run was claimed; None for one that was only read.
    """

    run: RunRow
    entries: tuple[EntryRow, ...]
    inbox: tuple[InboxRow, ...]
    unreadable: str = ""
    epoch: int | None = None


@dataclass(frozen=True, slots=True)
class Claimed:
    """The runs that were claimed.

    `full` are the queues of which the worker may hold no more; `waiting` tells that runs wait for places in
    queues, `again_at` when some of them may begin that mustn't yet (milliseconds), if that is known.
    """

    runs: list[Loaded]
    full: frozenset[str] = frozenset()
    waiting: bool = False
    again_at: int | None = None


OTHER_CODE: Final = "code!="
"""How the need of a parked run begins that goes on under any other code than the one named."""


@dataclass(frozen=True, slots=True)
class Serves:
    """What a worker can run: sagas by name and version, and compensation handlers by name and version.

    `code` is the need of a run that is parked under this worker's code, and goes on under any other. `queues`
    are those that its sagas name; `only` are the queues whose runs it takes, None for all.
    """

    sagas: frozenset[tuple[str, str]]
    handlers: frozenset[str] = frozenset()
    code: str = ""
    queues: frozenset[str] = frozenset()
    only: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker as stored: its lease (until when, under which epoch), its last batch and what it serves.

    `process` identifies the operating system's process (empty where the system doesn't tell); `dead_at` is
    when its runs were handed on.
    """

    id: str
    epoch: int
    batch: int
    lease_until: int
    host: str
    pid: int
    started_at: int
    serves: str
    process: str = ""
    dead_at: int | None = None
