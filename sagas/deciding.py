"""Approvals, seen by those who decide: listing them, and deciding."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

from pydantic_core import to_json

from amends.persistence.approval_records import ApprovalRow, ApprovalStatus, Vote
from amends.persistence.records import AuditRow, Write, Written
from amends.sagas import checked
from amends.sagas.body import too_large
from amends.sagas.desk import Desk
from amends.sagas.errors import ApprovalNotFound, DecisionRefused, InputInvalid, RecordUnreadable
from amends.sagas.forms import filled_in
from amends.sagas.joining import Joinable
from amends.sagas.listing import moment
from amends.sagas.request import Request
from amends.tracing.propagation import sender


@dataclass(frozen=True, slots=True)
class Approval:
    """What people are asked to decide, and what became of it.

    `details`, `form` (a JSON schema) and `values` (what is filled in) are JSON values. `approvers` are those
    who may decide now, None means anybody; `voters` are those who have approved so far. `digest` stands for
    all that is shown.
    """

    id: str
    run_id: str
    title: str
    details: Any
    form: dict[str, Any] | None
    values: Any
    approvers: tuple[str, ...] | None
    requested_by: str | None
    quorum: int
    voters: tuple[str, ...]
    status: ApprovalStatus
    digest: str
    created_at: dt.datetime
    expires_at: dt.datetime | None
    decided_at: dt.datetime | None
    decided_by: str | None
    reason: str | None


class Deciding:
    """Lists approvals and takes decisions, of which none takes more than `most` bytes of JSON."""

    def __init__(self, desk: Desk, most: int) -> None:
        self._desk = desk
        self._most = most

    async def list(
        self, *, status: ApprovalStatus | str | None, run_id: str | None, limit: int, after: str | None
    ) -> list[Approval]:
        """List approvals, the oldest first. Raises `InputInvalid`."""
        wanted = None if status is None else _status(status)
        ids = (checked.storable(run_id, "the run's id"), checked.storable(after, "the approval's id"))
        most = checked.count(limit, "limit")
        rows = await self._desk.approvals(status=wanted, run_id=ids[0], limit=most, after=ids[1])
        now = self._desk.now()
        return [shown(row, now) for row in rows]

    async def get(self, approval_id: str) -> Approval:
        """Give one approval. Raises `ApprovalNotFound`."""
        return shown(await self.row(approval_id), self._desk.now())

    async def decide(
        self,
        approval_id: str,
        *,
        approved: bool,
        by: str,
        reason: str | None,
        values: Any,
        how: str,
        digest: str | None,
        connection: Joinable | None,
        issued: int | None = None,
    ) -> None:
        """Take one person's decision. Raises what `Coordinator.decide` raises."""
        checked.flag(approved, "approved")
        by = checked.person(by, "who decides")
        checked.storable(reason, "the reason")
        checked.storable(how, "how")
        row, now = await self.row(approval_id), self._desk.now()
        vote = vote_of(row, by, reason, values, approved=approved, how=how, now=now)
        vote = replace(vote, issued=issued, sender=sender())
        if len(vote.payload) > self._most:
            raise too_large(
                f"approval {approval_id!r}: the values and the reason", len(vote.payload), self._most
            )
        if digest is not None and digest != row.digest:
            raise _refused(approval_id, "what was shown isn't what is to be approved")
        detail = {"approval": approval_id, "digest": row.digest, "how": how, "reason": reason}
        action = "approve" if approved else "reject"
        audit = AuditRow(row.run_id, now, by, action, json.dumps(detail))
        receipt = await self._desk.write(Write(row.run_id, vote=vote, audit=(audit,)), connection)
        if receipt.written is not Written.DONE:
            raise _refused(approval_id, receipt.reason or str(receipt.written))
        if connection is None:
            self._desk.look_for(row.run_id)

    async def row(self, approval_id: str) -> ApprovalRow:
        """Give an approval as stored. Raises `ApprovalNotFound`, `RecordUnreadable`."""
        rows = await self._desk.approvals(id=checked.an_id(approval_id, "an approval's id"))
        if not rows:
            raise ApprovalNotFound(f"there is no approval {approval_id!r} in this database")
        if rows[0].unreadable:
            raise RecordUnreadable(f"approval {approval_id!r} can't be read: {rows[0].unreadable}")
        return rows[0]


def shown(row: ApprovalRow, now: int) -> Approval:
    """Give an approval as people see it."""
    request = Request.from_json(row.request)
    decision = json.loads(row.decision or b"{}")
    return Approval(
        row.id,
        row.run_id,
        request.title,
        request.details,
        request.form,
        decision.get("values") or request.values,
        request.may_decide(now - row.created_at),
        request.requested_by,
        row.quorum,
        tuple(vote.by for vote in row.votes if vote.approved),
        row.status,
        row.digest,
        moment(row.created_at),
        None if row.expires_at is None else moment(row.expires_at),
        None if row.decided_at is None else moment(row.decided_at),
        row.decided_by,
        decision.get("reason"),
    )


def vote_of(
    row: ApprovalRow, by: str, reason: str | None, values: Any, *, approved: bool, how: str, now: int
) -> Vote:
    """Make the vote of somebody who may decide on `row`. Raises `DecisionRefused`, `InputInvalid`."""
    request = Request.from_json(row.request)
    if row.status is not ApprovalStatus.PENDING:
        raise _refused(row.id, f"it is {row.status} already")
    able = request.may_decide(now - row.created_at)
    if by == request.requested_by:
        raise _refused(row.id, f"{by} has asked for it, and can't decide it")
    if able is not None and by not in able:
        raise _refused(row.id, f"{by} isn't among those who may decide: {', '.join(able)}")
    given = _plain(values)
    told = filled_in(request.form, request.values, given) if approved else None
    payload = to_json({"values": told, "reason": reason})
    filled = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    return Vote(row.id, by, approved, how, now, row.digest, filled, payload)


def _plain(values: Any) -> Any:
    try:
        return json.loads(to_json(values, by_alias=False, round_trip=True))
    except ValueError as problem:
        raise InputInvalid(f"the values {values!r} have no JSON form: {problem}") from problem


def _refused(approval_id: str, why: str) -> DecisionRefused:
    return DecisionRefused(f"approval {approval_id!r} takes no such decision: {why}")


def _status(status: ApprovalStatus | str) -> ApprovalStatus:
    try:
        return ApprovalStatus(status)
    except ValueError:
        known = ", ".join(ApprovalStatus)
        raise InputInvalid(f"there is no status {status!r} of approvals; there are: {known}") from None
