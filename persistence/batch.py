"""Decide what becomes of each write of a batch, and which rows follow; pure, once the database was asked.

The writes of a batch are decided in their order, each seeing what those before it have done. What is decided
here stands because the runs' rows are locked (PostgreSQL) or nobody else writes (SQLite) until the commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final

from amends.persistence import voting
from amends.persistence.approval_records import ApprovalState, ApprovalStatus, Vote
from amends.persistence.beaten import is_beaten
from amends.persistence.queue_records import QueueChange
from amends.persistence.records import (
    Cause,
    InboxRow,
    NewRun,
    Receipt,
    RunChange,
    ScheduleChange,
    Status,
    Wake,
    Write,
    Written,
)
from amends.persistence.removal_records import Removal
from amends.persistence.rows import ASKED, ATTRIBUTE_COLUMNS, AUDIT_COLUMNS, ENTRY_COLUMNS, VOTE_COLUMNS
from amends.persistence.run_cells import Cells, change_cells, run_cells
from amends.persistence.tables import ENDED

DONE: Final = Receipt(Written.DONE)
_TAKEN: Final = Receipt(Written.TAKEN)
_BEATEN: Final = Receipt(Written.BEATEN)
_FENCED: Final = Receipt(Written.FENCED)
_ENDED: Final = Receipt(Written.ENDED)
_KNOWN: Final = Receipt(Written.KNOWN)
_UNKNOWN_RUN: Final = Receipt(Written.UNKNOWN_RUN)
_FREEING: Final = (Wake.CANCEL, Wake.OPERATOR, Wake.CHILD, Wake.PARENT)
_entry_cells: Final = attrgetter(*ENTRY_COLUMNS)
_audit_cells: Final = attrgetter(*AUDIT_COLUMNS)
_ask_cells: Final = attrgetter(*ASKED)
_vote_cells: Final = attrgetter(*VOTE_COLUMNS)
_attribute_cells: Final = attrgetter(*ATTRIBUTE_COLUMNS)


@dataclass(slots=True)
class RunState:
    """What a batch knows of a run, kept up with its own writes.

    `mail` is the number of its last inbox row, `unread` that of the last unread one of each kind, where it
    was asked for.
    """

    status: Status
    cause: Cause | None
    mail: int
    unread: dict[str, int] = field(default_factory=dict)
    removed: bool = False


@dataclass(slots=True)
class Asked:
    """What the writes of a batch have to know from the database."""

    starts: dict[str, Cells] = field(default_factory=dict)
    runs: set[str] = field(default_factory=set)
    keys: set[tuple[str, str]] = field(default_factory=set)
    schedules: set[str] = field(default_factory=set)
    approvals: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Known:
    """The database's answers.

    `won` are the ids that were inserted, `locked` the runs in somebody's open transaction, `keys` the inbox
    keys that exist, `schedules` the revisions of schedules (None: in somebody's open transaction).
    """

    won: set[str] = field(default_factory=set)
    runs: dict[str, RunState] = field(default_factory=dict)
    locked: set[str] = field(default_factory=set)
    keys: set[tuple[str, str]] = field(default_factory=set)
    schedules: dict[str, int | None] = field(default_factory=dict)
    approvals: dict[str, ApprovalState] = field(default_factory=dict)


@dataclass(slots=True)
class Rows:
    """What is to be written, statement by statement. A run has one row in `changes`, `woken` and `mails`.

    `unstarted` are the runs that were inserted for a write of which nothing is to be written after all.
    """

    unstarted: list[Cells] = field(default_factory=list)
    entries: list[Cells] = field(default_factory=list)
    inbox: list[Cells] = field(default_factory=list)
    taken: list[Cells] = field(default_factory=list)
    changes: dict[str, Cells] = field(default_factory=dict)
    progressed: list[Cells] = field(default_factory=list)
    woken: dict[str, Cells] = field(default_factory=dict)
    mails: dict[str, Cells] = field(default_factory=dict)
    audit: list[Cells] = field(default_factory=list)
    schedules: list[ScheduleChange] = field(default_factory=list)
    asks: list[Cells] = field(default_factory=list)
    votes: list[Cells] = field(default_factory=list)
    closes: list[Cells] = field(default_factory=list)
    shown: list[Cells] = field(default_factory=list)
    unset: list[Cells] = field(default_factory=list)
    revokes: list[Cells] = field(default_factory=list)
    attributes: list[Cells] = field(default_factory=list)
    queues: list[QueueChange] = field(default_factory=list)
    removals: list[Removal] = field(default_factory=list)
    news: bool = False


def asked(writes: Iterable[Write], worker: str | None, epoch: int | None) -> Asked:
    """Collect what has to be asked for `writes`; those under a lost lease ask nothing."""
    ask = Asked()
    for write in writes:
        if write.epoch is not None and write.epoch != epoch:
            continue
        start = write.start
        if start is not None and start.id not in ask.starts:
            ask.starts[start.id] = run_cells(write, start, worker)
        for child in write.starts:
            ask.starts.setdefault(child.id, run_cells(write, child, worker))
        if _needs_row(write):
            ask.runs.add(write.run_id)
        if write.inbox is not None:
            ask.runs.add(write.inbox.run_id)
            ask.keys.add((write.inbox.run_id, write.inbox.key))
        named = write.vote or write.revoke
        if named is not None:
            ask.runs.add(write.run_id)
            ask.approvals.add(named.approval_id)
        for told in write.tells:
            ask.runs.add(told.row.run_id)
            ask.keys.add((told.row.run_id, told.row.key))
        if write.schedule is not None:
            ask.schedules.add(write.schedule.row.id)
    return ask


def decide(
    writes: Sequence[Write], known: Known, *, epoch: int | None, now: int
) -> tuple[list[Receipt | None], Rows]:
    """Return each write's receipt (None: its run is locked, try later) and the rows to be written."""
    decider = _Decider(known, epoch, now)
    return [decider.receipt(write) for write in writes], decider.rows


class _Decider:
    """Decide write by write."""

    def __init__(self, known: Known, epoch: int | None, now: int) -> None:
        self.rows = Rows()
        self._known = known
        self._epoch = epoch
        self._now = now
        self._free = set(known.won)
        self._unstarted: set[str] = set()

    def receipt(self, write: Write) -> Receipt | None:
        if write.epoch is not None and write.epoch != self._epoch:
            return _FENCED
        starts = write.starts if write.start is None else (write.start, *write.starts)
        inserted = [new.id for new in starts if new.id in self._free]
        self._free.difference_update(inserted)
        receipt = self._decided(write) if len(inserted) == len(starts) else self._missed(write, inserted)
        if receipt is not DONE:
            self._unstarted.update(inserted)
            self.rows.unstarted.extend((run_id,) for run_id in inserted)
        return receipt

    def _missed(self, write: Write, inserted: list[str]) -> Receipt | None:
        """Decide about a write some of whose ids aren't free: they are taken, or were a moment ago."""
        starts = write.starts if write.start is None else (write.start, *write.starts)
        missing = [new for new in starts if new.id not in inserted]
        if any(new.id in self._unstarted for new in missing):
            return None
        return _TAKEN if missing[0] is write.start else _refused_child(missing[0])

    def _decided(self, write: Write) -> Receipt | None:
        """Decide about a write whose ids are free; a schedule that it changes must be as it was seen."""
        change = write.schedule
        if change is None:
            return self._accepted(write)
        revision = self._known.schedules.get(change.row.id, 0)
        if revision != change.seen:
            return None if revision is None else _BEATEN
        receipt = self._accepted(write)
        if receipt is DONE:
            # One change of a schedule goes into a batch; another one has to see it first.
            self._known.schedules[change.row.id] = None
            self.rows.schedules.append(change)
            self.rows.news = True
        return receipt

    def _accepted(self, write: Write) -> Receipt | None:
        message, locked = write.inbox, self._known.locked
        if locked and not locked.isdisjoint(_wanted(write)):
            return None
        if _needs_row(write):
            state = self._known.runs.get(write.run_id)
            if state is None:
                return Receipt(Written.REFUSED, f"there is no run {write.run_id!r}")
            if is_beaten(write, state.mail, state.unread):
                return _BEATEN
        if message is not None:
            put = self._put(message, write.wake, fresh=write.fresh)
            if put is not DONE:
                if put is _ENDED and write.too_late:
                    self.rows.audit.extend(map(_audit_cells, write.too_late))
                return put
        if objection := self._objection(write):
            return Receipt(Written.CLOSED, objection)
        for told in write.tells:
            # A turn that tells another run something stands, whatever has become of that run.
            self._put(told.row, told.wake)
        self._write(write)
        return DONE

    def _put(self, message: InboxRow, wake: Wake, *, fresh: bool = False) -> Receipt:
        """Put a message into a run's inbox, unless it is there or comes too late."""
        known, rows, run_id = self._known, self.rows, message.run_id
        if (run_id, message.key) in known.keys:
            return _KNOWN if fresh else DONE
        state = known.runs.get(run_id)
        if state is None:
            return _UNKNOWN_RUN
        woken = state.status if state.removed else _woken(state, wake)
        if woken in ENDED:
            return _ENDED
        if woken is not state.status:
            state.status = woken
            rows.woken[run_id] = (run_id, woken.value, self._now, wake is Wake.OPERATOR)
        state.mail += 1
        state.unread[message.kind] = state.mail
        known.keys.add((run_id, message.key))
        before = rows.mails.get(run_id)
        frees = wake in _FREEING or (before is not None and bool(before[3]))
        rows.mails[run_id] = (run_id, state.mail, self._now, frees)
        rows.inbox.append(
            (run_id, state.mail, message.key, message.kind, message.at, message.meta, message.payload, False)
        )
        rows.news = True
        return DONE

    def _objection(self, write: Write) -> str:
        """Take in what a person has to say to an approval; say why it doesn't count, if it doesn't."""
        if write.vote is not None:
            return self._voted(write.run_id, write.vote)
        self.rows.revokes += voting.revoked(self._known.approvals, write.revoke)
        return ""

    def _voted(self, run_id: str, vote: Vote) -> str:
        """Take a vote in; say why it doesn't count, if it doesn't."""
        run, state = self._known.runs.get(run_id), self._known.approvals.get(vote.approval_id)
        status, cause = (None, None) if run is None else (run.status, run.cause)
        told = voting.objection(state, vote, status, cause, self._now)
        if told or state is None:
            return told
        after = voting.decided(state, vote)
        self.rows.votes.append(_vote_cells(vote))
        if after is not ApprovalStatus.PENDING:
            closed = (vote.approval_id, after.value, vote.at, vote.payload, vote.by)
            self.rows.closes.append(closed)
            self._put(voting.message(run_id, vote, state), Wake.NONE)
        return ""

    def _write(self, write: Write) -> None:
        """Add the rows of a write that is done."""
        rows, run_id, change = self.rows, write.run_id, write.change
        if write.entries:
            rows.entries.extend(map(_entry_cells, write.entries))
        for number in write.taken:
            rows.taken.append((run_id, number))
        starts_itself = write.start is not None and write.start.id == run_id
        if change is not None:
            rows.news = rows.news or _concerns_others(change, self._now)
            if not starts_itself:
                rows.changes[run_id] = change_cells(run_id, change, progressed=write.progressed)
            if run_id in self._known.runs:
                self._known.runs[run_id].status = change.status
                self._known.runs[run_id].cause = change.cause
        elif write.progressed and not starts_itself:
            rows.progressed.append((run_id,))
        if write.starts or (write.start is not None and (write.epoch is None or not starts_itself)):
            rows.news = True
        if write.audit:
            rows.audit.extend(map(_audit_cells, write.audit))
        if write.asks or write.closes or write.shown is not None:
            self._for_people(write)
        self._of_the_log(write)

    def _of_the_log(self, write: Write) -> None:
        """Add what a write changes beside a run."""
        if write.queue is not None:
            self.rows.queues.append(write.queue)
            self.rows.news = True
        if write.removal is not None:
            self.rows.removals.append(write.removal)

    def _for_people(self, write: Write) -> None:
        rows, shown = self.rows, write.shown
        if shown is not None:
            rows.shown.append((write.run_id, shown.attributes, shown.progress))
            rows.unset.extend((write.run_id, row.name) for row in shown.rows)
            rows.attributes.extend(_attribute_cells(row) for row in shown.rows if row.kind is not None)
        rows.asks.extend((*_ask_cells(new), ApprovalStatus.PENDING.value) for new in write.asks)
        for closing in write.closes:
            rows.closes.append((closing.id, closing.status.value, closing.at, None, None))
            if closing.id in self._known.approvals:
                self._known.approvals[closing.id].status = closing.status


def _woken(state: RunState, wake: Wake) -> Status:
    """Return the status in which a message leaves a run; an end, where it comes too late."""
    if state.status in ENDED:
        fitting = Wake.UNDO if state.status is Status.COMPLETED else Wake.EVIDENCE
        return Status.COMPENSATING if wake in (fitting, Wake.PARENT) else state.status
    if state.status is not Status.PARKED or wake not in _FREEING:
        return state.status
    if state.cause is None:
        return Status.OPEN
    return Status.PARKED if wake is Wake.CANCEL else Status.COMPENSATING


def _wanted(write: Write) -> list[str]:
    """Name the runs whose rows must be locked for a write."""
    told = [told.row.run_id for told in write.tells]
    if write.inbox is not None:
        told.append(write.inbox.run_id)
    return [*told, write.run_id] if _needs_row(write) or write.vote is not None else told


def _refused_child(child: NewRun) -> Receipt:
    return Receipt(
        Written.REFUSED, f"the id {child.id!r} of its child run belongs to a run that somebody started"
    )


def _needs_row(write: Write) -> bool:
    """Tell whether the run's row must be locked: it is changed, or decides about the write."""
    if write.start is not None and write.start.id == write.run_id:
        return False
    changes = write.change is not None or write.shown is not None
    return changes or write.mail is not None or write.progressed


def _concerns_others(change: RunChange, now: int) -> bool:
    if change.ended_at is not None or change.status is Status.PARKED:
        return True
    return change.release and change.due_at is not None and change.due_at <= now
