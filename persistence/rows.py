"""Rows of the database turned into records; payloads pass the codec here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from amends.persistence.approval_records import ApprovalRow, ApprovalStatus, Vote
from amends.persistence.codec import Codec, PlainCodec
from amends.persistence.queue_records import Place
from amends.persistence.records import (
    Cause,
    EntryRow,
    InboxRow,
    Loaded,
    RunRow,
    ScheduleRow,
    Status,
    WorkerRow,
)

RUN_COLUMNS: Final = (
    "id",
    "saga",
    "version",
    "queue",
    "status",
    "cause",
    "input",
    "result",
    "error",
    "owner",
    "due_at",
    "deadline_at",
    "created_at",
    "ended_at",
    "mail",
    "lost",
    "needs",
    "parent",
    "parent_ref",
    "root",
    "no_pivot",
    "scheduled_for",
    "trace",
    "waits_for",
    "place",
    "queue_key",
    "priority",
    "above",
)
PLACE: Final = RUN_COLUMNS.index("place")
SEEN_COLUMNS: Final = (*RUN_COLUMNS, "admitted_at", "attributes", "progress")
"""What is read of a run; a new one is inserted without what it shows of itself."""
ENTRY_COLUMNS: Final = (
    "run_id",
    "seq",
    "kind",
    "at",
    "ref",
    "attempt",
    "name",
    "meta",
    "payload",
    "format",
)
INBOX_COLUMNS: Final = ("run_id", "number", "key", "kind", "at", "meta", "payload", "taken")
ASKED: Final = ("id", "run_id", "ref", "digest", "request", "quorum", "created_at", "expires_at")
VOTE_COLUMNS: Final = ("approval_id", "by", "approved", "how", "at", "digest", "values", "payload")
APPROVAL_COLUMNS: Final = (
    "id",
    "run_id",
    "ref",
    "status",
    "digest",
    "request",
    "quorum",
    "decision",
    "decided_by",
    "created_at",
    "expires_at",
    "decided_at",
    "revoked",
)
ATTRIBUTE_COLUMNS: Final = ("run_id", "name", "kind", "value", "created_at")
AUDIT_COLUMNS: Final = ("run_id", "at", "actor", "action", "detail")
WORKER_COLUMNS: Final = (
    "id",
    "epoch",
    "batch",
    "lease_until",
    "host",
    "pid",
    "started_at",
    "serves",
    "process",
    "dead_at",
)


SCHEDULE_COLUMNS: Final = (
    "id",
    "saga",
    "version",
    "input",
    "format",
    "definition",
    "paused",
    "created_at",
    "updated_at",
    "next_at",
    "waiting_at",
    "last_run",
    "last_at",
    "started",
    "skipped",
    "last_skipped_at",
    "revision",
)


class Reader:
    """Make records of rows: decode their payloads, and say of each record whether that went well."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._plain = isinstance(codec, PlainCodec)

    def run(self, row: Sequence[Any]) -> RunRow:
        """Make a run of a row with `RUN_COLUMNS` or `SEEN_COLUMNS`."""
        cells = list(row)
        cells[4] = Status(str(cells[4]))
        cells[5] = None if cells[5] is None else Cause(str(cells[5]))
        unreadable = "" if self._plain else self._decode(cells, (6, 7, 8), "run", RUN_COLUMNS)
        if cells[6] is None:
            cells[6] = b""
        if cells[PLACE] is not None:
            cells[PLACE] = Place(str(cells[PLACE]))
        return replace(RunRow(*cells), unreadable=unreadable) if unreadable else RunRow(*cells)

    def entry(self, row: Sequence[Any]) -> EntryRow:
        """Make an entry of a row with `ENTRY_COLUMNS`."""
        if self._plain:
            return EntryRow(*row)
        cells = list(row)
        cells.append(self._decode(cells, (8,), f"entry {cells[1]}", ENTRY_COLUMNS))
        return EntryRow(*cells)

    def inbox(self, row: Sequence[Any]) -> InboxRow:
        """Make an inbox row of a row with `INBOX_COLUMNS`, the last of which is left out."""
        run_id, number, key, kind, at, meta, payload = row[:7]
        cells = [run_id, key, kind, at, meta, payload, number]
        unreadable = "" if self._plain else self._decode(cells, (5,), f"inbox row {number}", ("payload",) * 6)
        cells.append(unreadable)
        return InboxRow(*cells)

    def schedule(self, row: Sequence[Any]) -> ScheduleRow:
        """Make a schedule of a row with `SCHEDULE_COLUMNS`, and behind them whether its last run goes on."""
        cells = list(row)
        unreadable = "" if self._plain else self._decode(cells, (3,), "schedule", SCHEDULE_COLUMNS)
        cells[3], cells[-1] = cells[3] or b"", bool(cells[-1])
        cells.append(unreadable)
        return ScheduleRow(*cells)

    def approval(self, row: Sequence[Any], votes: Iterable[Sequence[Any]]) -> ApprovalRow:
        """Make an approval of a row with `APPROVAL_COLUMNS`, and rows with `VOTE_COLUMNS`."""
        cells = list(row)
        cells[3] = ApprovalStatus(str(cells[3]))
        unreadable = "" if self._plain else self._decode(cells, (5, 7), "approval", APPROVAL_COLUMNS)
        cells[5] = cells[5] or b"{}"
        told = []
        for each in votes:
            vote = list(each)
            if not self._plain:
                unreadable = self._decode(vote, (7,), f"vote of {vote[1]}", VOTE_COLUMNS) or unreadable
            vote[7] = vote[7] or b"{}"
            told.append(Vote(*vote))
        return replace(ApprovalRow(*cells), votes=tuple(told), unreadable=unreadable)

    def loaded(
        self, runs: Iterable[RunRow], events: Iterable[Sequence[Any]], epoch: int | None
    ) -> list[Loaded]:
        """Put runs together with their entries and unread inbox rows.

        An event is (run_id, inbox?, number, kind, at, ref, attempt, name, meta, payload, format), in
        order.
        """
        entries: dict[str, list[EntryRow]] = {}
        inboxes: dict[str, list[InboxRow]] = {}
        for run_id, is_inbox, number, kind, at, ref, attempt, name, meta, payload, layout in events:
            if is_inbox:
                row = self.inbox((run_id, number, name, kind, at, meta, payload))
                inboxes.setdefault(row.run_id, []).append(row)
            else:
                entry = self.entry((run_id, number, kind, at, ref, attempt, name, meta, payload, layout))
                entries.setdefault(entry.run_id, []).append(entry)
        return [
            _loaded(run, tuple(entries.get(run.id, ())), tuple(inboxes.get(run.id, ())), epoch)
            for run in runs
        ]

    def _decode(self, cells: list[Any], places: Sequence[int], what: str, names: Sequence[str]) -> str:
        unreadable = ""
        for place in places:
            data = cells[place]
            if not isinstance(data, bytes):
                continue
            try:
                cells[place] = self._codec.decode(data)
            except Exception as error:  # noqa: BLE001 - a codec is the application's: it may raise anything
                cells[place] = None
                words = f"{type(error).__name__}: {error}".rstrip(": ")
                unreadable = unreadable or f"{what}: {names[place]} can't be decoded ({words})"
        return unreadable


def _loaded(
    run: RunRow, entries: tuple[EntryRow, ...], inbox: tuple[InboxRow, ...], epoch: int | None
) -> Loaded:
    records: Iterable[EntryRow | InboxRow] = (*entries, *inbox)
    unreadable = run.unreadable or next((record.unreadable for record in records if record.unreadable), "")
    return Loaded(run, entries, inbox, unreadable, epoch)


def worker(row: Sequence[Any]) -> WorkerRow:
    """Make a worker of a row with `WORKER_COLUMNS`."""
    return WorkerRow(*row)
