"""Approvals, seen from the run that waits for them: asking, escalating, expiring, hearing (A10)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amends.persistence.approval_records import ApprovalStatus, Closing, NewApproval
from amends.persistence.records import InboxRow
from amends.sagas import notices
from amends.sagas.commands import AskPeople
from amends.sagas.journal import Entry, Kind
from amends.sagas.notices import NoticeKind
from amends.sagas.request import Answer, ApprovalRecord

if TYPE_CHECKING:
    from amends.sagas.run import LiveRun


def id_of(run_id: str, ref: int) -> str:
    """Give the id of an approval: its run's, and the number of the call there."""
    return f"{run_id}:{ref}"


def ask(run: LiveRun, command: AskPeople, now: int) -> None:
    """Have people asked: the row that they see is written with this turn."""
    request, approval_id = command.request, id_of(run.row.id, command.ref)
    meta = {"id": approval_id, "digest": request.digest}
    run.record(Kind.APPROVAL, now, command.ref, name=request.title, meta=meta, payload=request.to_json())
    record = run.history.approvals[command.ref]
    run.draft.asks.append(
        NewApproval(
            approval_id,
            run.row.id,
            command.ref,
            request.digest,
            request.to_json(),
            request.quorum,
            now,
            record.expires_at,
        )
    )
    notices.of_approval(run, record, NoticeKind.APPROVAL_ASKED, now)


def answer_of(entry: Entry) -> Answer:
    """Give what a `DECIDED` entry tells the body."""
    return Answer(entry.meta["outcome"], entry.meta, entry.payload or b"{}")


def take(run: LiveRun, row: InboxRow, meta: dict[str, Any], now: int) -> None:
    """Take a decision, if the body still waits for it."""
    found = next((each for each in run.history.approvals.values() if each.id == meta["id"]), None)
    if found is not None and not run.history.compensating:
        run.tell(Kind.DECIDED, now, found.ref, name=found.request.title, meta=meta, payload=row.payload)


def withdraw(run: LiveRun, ref: int, now: int) -> None:
    """Withdraw an approval that the body no longer waits for."""
    record = run.history.approvals.get(ref)
    if record is not None:
        run.record(Kind.WITHDRAWN, now, ref, name=record.request.title)
        run.draft.closes.append(Closing(record.id, ApprovalStatus.WITHDRAWN, now))


def withdraw_all(run: LiveRun, now: int) -> None:
    """Withdraw what nobody needs to decide any more: the run is about to turn round."""
    for record in run.history.approvals.values():
        run.draft.closes.append(Closing(record.id, ApprovalStatus.WITHDRAWN, now))


def fire_due(run: LiveRun, now: int) -> None:
    """Let time pass for the approvals that the body waits for."""
    for record in list(run.history.approvals.values()):
        if record.due_at is not None and record.due_at <= now:
            _fire(run, record, now)


def wake_at(run: LiveRun) -> int | None:
    """Give the moment at which something has to be done about an approval."""
    moments = (record.due_at for record in run.history.approvals.values())
    return min((moment for moment in moments if moment is not None), default=None)


def _fire(run: LiveRun, record: ApprovalRecord, now: int) -> None:
    """Record what is due; one that expires is neither escalated nor reminded of any more."""
    ref, title = record.ref, record.request.title
    if record.expires_at is not None and record.expires_at <= now:
        run.draft.closes.append(Closing(record.id, ApprovalStatus.EXPIRED, now))
        run.draft.contends = True
        meta = {"id": record.id, "outcome": ApprovalStatus.EXPIRED.value}
        run.tell(Kind.DECIDED, now, ref, name=title, meta=meta)
        return
    if record.escalates_at is not None and record.escalates_at <= now:
        run.record(Kind.ESCALATED, now, ref, name=title, meta={"to": record.request.escalate_to})
        notices.of_approval(run, record, NoticeKind.APPROVAL_ESCALATED, now)
    every = record.request.remind_every
    if every is not None and record.reminds_at is not None and record.reminds_at <= now:
        # Those that were due while nobody looked are one.
        run.record(Kind.REMINDED, now, ref, (now - record.at) // every, name=title)
        notices.of_approval(run, record, NoticeKind.APPROVAL_REMINDER, now)
