"""What people are to be told of a run, and the run that tells them: pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import to_json

from amends.persistence.records import NewRun, RunRow
from amends.sagas.new_runs import started_by
from amends.sagas.reports import safe
from amends.sagas.request import ApprovalRecord

if TYPE_CHECKING:
    from amends.sagas.run import LiveRun

NOTIFY: Final = ("amends.notify", "1")
"""The saga that tells people, and its version."""


class NoticeKind(StrEnum):
    """What a notice tells of."""

    APPROVAL_ASKED = "approval.asked"
    APPROVAL_REMINDER = "approval.reminder"
    APPROVAL_ESCALATED = "approval.escalated"
    RUN_PARKED = "run.parked"


@dataclass(frozen=True, slots=True)
class Pending:
    """An approval that people are told of. `approvers` are those who may decide now; None means anybody."""

    id: str
    title: str
    details: Any = None
    approvers: tuple[str, ...] | None = None
    quorum: int = 1
    requested_by: str | None = None
    expires_at: dt.datetime | None = None
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that people are to be told, and when it came about (aware, UTC).

    `id` is the same when it is told again. `reason` says why a run is parked, and `owed` names the steps
    whose compensations it owes. `approval` is there where the notice is about one, and `links` holds a
    link by which to decide it for each person who is named, where the coordinator has `approval_links`.
    """

    id: str
    kind: NoticeKind
    run_id: str
    saga: str
    at: dt.datetime
    reason: str = ""
    owed: tuple[str, ...] = ()
    approval: Pending | None = None
    links: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def text(self) -> str:
        """The notice in a sentence."""
        if self.approval is None:
            return f"run {self.run_id} ({self.saga}) is parked and needs a person: {self.reason}"
        who = "anybody" if self.approval.approvers is None else ", ".join(self.approval.approvers)
        what = _WORDS[self.kind]
        return (
            f"{what}: {self.approval.title} ({self.approval.id}, run {self.run_id}), to be decided by {who}"
        )


_WORDS: Final = {
    NoticeKind.APPROVAL_ASKED: "an approval is asked for",
    NoticeKind.APPROVAL_REMINDER: "an approval still waits",
    NoticeKind.APPROVAL_ESCALATED: "an approval is escalated",
}


def parked(
    notifiers: Sequence[str], row: RunRow, seq: int, now: int, reason: str, owed: Sequence[str]
) -> list[NewRun]:
    """Tell people that a run is parked; the run that can't tell them isn't told of."""
    return _told(notifiers, row, seq, now, NoticeKind.RUN_PARKED, reason=reason, owed=list(owed))


def of_approval(run: LiveRun, record: ApprovalRecord, kind: NoticeKind, now: int) -> None:
    """Tell people of an approval, with this turn."""
    request = record.request
    pending = {
        "id": record.id,
        "title": request.title,
        "details": request.details,
        "approvers": request.may_decide(now - record.at),
        "quorum": request.quorum,
        "requested_by": request.requested_by,
        "expires_at": None if record.expires_at is None else _moment(record.expires_at),
        "digest": request.digest,
    }
    run.draft.start(*_told(run.notifiers, run.row, run.history.seq, now, kind, approval=pending))


def _told(
    notifiers: Sequence[str], row: RunRow, seq: int, now: int, kind: NoticeKind, **facts: Any
) -> list[NewRun]:
    if not notifiers or (row.saga, row.version) == NOTIFY:
        return []
    saga, version = NOTIFY
    told = f"{row.id}/{saga}/{seq}"
    said = {"id": told, "kind": kind.value, "run_id": row.id, "saga": row.saga, "at": _moment(now)}
    given = {"notice": said | safe(facts), "notifiers": list(notifiers)}
    return [started_by(row, NewRun(told, saga, version, to_json(given), now))]


def _moment(ms: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(ms / 1000, dt.UTC)
