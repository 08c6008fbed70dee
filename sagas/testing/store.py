"""A simulated durable store: writes are applied whole or not at all, decided as by the real one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from amends.persistence.approval_records import ApprovalState, ApprovalStatus
from amends.persistence.batch import DONE, Known, RunState, asked, decide
from amends.persistence.codec import PlainCodec
from amends.persistence.records import (
    AuditRow,
    EntryRow,
    InboxRow,
    Loaded,
    Receipt,
    RunChange,
    RunRow,
    Status,
    Write,
)
from amends.persistence.rows import Reader
from amends.sagas.journal import Entry, Kind, from_row
from amends.sagas.states import ENDS
from amends.sagas.testing.people import Asked

STOPPING = ("cancel", "operator")
CLAIMABLE = (Status.OPEN, Status.COMPENSATING)
READER = Reader(PlainCodec())


@dataclass(slots=True)
class StoredRun:
    """A run as stored, with what its entries say of it in short.

    `intents` are the numbers of the steps on record, `undone` those whose compensation has succeeded;
    `switched` tells that the decision to compensate is on record.
    """

    row: RunRow
    rows: list[EntryRow] = field(default_factory=list)
    inbox: list[InboxRow] = field(default_factory=list)
    taken: set[int] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)
    intents: set[int] = field(default_factory=set)
    undoing: set[int] = field(default_factory=set)
    undone: set[int] = field(default_factory=set)
    switched: bool = False
    approvals: dict[str, Asked] = field(default_factory=dict)

    @property
    def settled(self) -> bool:
        """Tell whether the run has ended or is parked."""
        return self.row.status in ENDS or self.row.status is Status.PARKED

    @property
    def journal(self) -> list[Entry]:
        """The entries on record."""
        return [from_row(row) for row in self.rows]

    @property
    def unread(self) -> tuple[InboxRow, ...]:
        """The inbox rows that haven't become entries, in their order."""
        return tuple(row for row in self.inbox if row.number not in self.taken)

    @property
    def unread_kinds(self) -> dict[str, int]:
        """The number of the last unread inbox row of each kind."""
        return {row.kind: row.number for row in self.unread}

    def claimable(self, now: int) -> bool:
        """Tell whether a worker would claim the run now."""
        row = self.row
        return row.owner is None and row.status in CLAIMABLE and row.due_at is not None and row.due_at <= now

    def listens(self, now: int) -> bool:
        """Tell whether the run does nothing but wait, for a signal at least."""
        return self.row.owner is None and self.row.waits_for is not None and not self.claimable(now)

    def loaded(self, epoch: int) -> Loaded:
        """Give the run as a worker loads it."""
        return Loaded(self.row, tuple(self.rows), self.unread, "", epoch)

    def add(self, entries: tuple[EntryRow, ...]) -> None:
        """Append entries."""
        self.rows.extend(entries)
        for row in entries:
            if row.ref is None:
                self.switched = self.switched or row.kind == Kind.SWITCH
            elif row.kind == Kind.INTENT:
                self.intents.add(row.ref)
            elif row.kind == Kind.UNDO:
                self.undoing.add(row.ref)
            elif row.kind == Kind.UNDONE:
                self.undone.add(row.ref)


@dataclass(slots=True)
class Store:
    """The runs of a simulation; `mailed` is told of every new inbox row."""

    now: Callable[[], int]
    mailed: Callable[[InboxRow], None]
    runs: dict[str, StoredRun] = field(default_factory=dict)
    audit: list[AuditRow] = field(default_factory=list)

    def apply(self, write: Write, worker: str | None, epoch: int | None) -> Receipt:
        """Write all or nothing, for a worker under its epoch; who only hears of a run isn't started."""
        write.starts = tuple(new for new in write.starts if new.parent is not None)
        ask = asked([write], worker, epoch)
        known = Known(
            won={run_id for run_id in ask.starts if run_id not in self.runs},
            runs={
                run_id: RunState(run.row.status, run.row.cause, run.row.mail, run.unread_kinds)
                for run_id, run in self.runs.items()
            },
            keys={(run_id, key) for run_id, run in self.runs.items() for key in run.keys},
            approvals=self._asked(write.run_id),
        )
        now = self.now()
        receipts, rows = decide([write], known, epoch=epoch, now=now)
        receipt = receipts[0]
        if receipt is not DONE:
            if rows.audit:
                self.audit += write.too_late
            return receipt or DONE
        for run_id, cells in ask.starts.items():
            if run_id in known.won:
                self.runs[run_id] = StoredRun(READER.run(cells))
        for run_id, woken in rows.woken.items():
            row, status = self.runs[run_id].row, Status(str(woken[1]))
            self.runs[run_id].row = replace(row, status=status, due_at=now, ended_at=None, needs=None)
        self._write(write)
        for cells in rows.inbox:
            self._put(READER.inbox(cells))
        return DONE

    def hand_on(self, worker: str) -> None:
        """Hand on the runs of a worker that is dead."""
        for run in self.runs.values():
            if run.row.owner == worker:
                run.row = replace(run.row, owner=None, due_at=self.now(), lost=run.row.lost + 1)

    def claim(self, run_id: str, worker: str) -> None:
        """Give a run to a worker."""
        run = self.runs[run_id]
        run.row = replace(run.row, owner=worker)

    def dues(self) -> Iterator[int]:
        """Give the moments at which runs without an owner are due."""
        for run in self.runs.values():
            if run.row.owner is None and run.row.status in CLAIMABLE and run.row.due_at is not None:
                yield run.row.due_at

    def _asked(self, run_id: str) -> dict[str, ApprovalState]:
        """Give how a run's approvals stand."""
        run = self.runs.get(run_id)
        if run is None:
            return {}
        for each in run.approvals.values():
            each.state.called = not run.unread_kinds.keys().isdisjoint(STOPPING)
        return {name: each.state for name, each in run.approvals.items()}

    def _write(self, write: Write) -> None:
        run = self.runs.get(write.run_id)
        self.audit += write.audit
        if run is None:
            return
        run.add(write.entries)
        run.approvals.update({new.id: Asked(new) for new in write.asks})
        for closing in write.closes:
            closed = run.approvals[closing.id]
            if closed.state.status is ApprovalStatus.PENDING:
                closed.state.status = closing.status
        run.taken.update(write.taken)
        if write.progressed:
            run.row = replace(run.row, lost=0)
        if write.shown is not None:
            run.row = replace(run.row, attributes=write.shown.attributes, progress=write.shown.progress)
        starts_itself = write.start is not None and write.start.id == write.run_id
        if write.change is not None and not starts_itself:
            run.row = _changed(run.row, write.change)

    def _put(self, message: InboxRow) -> None:
        run = self.runs[message.run_id]
        run.inbox.append(message)
        run.keys.add(message.key)
        due, now = run.row.due_at, self.now()
        if run.row.owner is None and (due is None or due > now):
            due = now
        run.row = replace(run.row, mail=message.number, due_at=due)
        self.mailed(message)


def _changed(row: RunRow, change: RunChange) -> RunRow:
    ended = change.status in ENDS
    gone = change.release or ended
    return replace(
        row,
        status=change.status,
        cause=change.cause,
        result=change.result,
        error=change.error,
        ended_at=change.ended_at,
        due_at=None if ended else change.due_at,
        needs=change.needs,
        waits_for=change.waits_for,
        owner=None if gone else row.owner,
        lost=0 if gone else row.lost,
    )
