"""Deciding by link: making links, showing what they lead to, taking the decision, revoking them."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from amends.persistence.approval_records import ApprovalStatus, Revocation
from amends.persistence.records import AuditRow, Write, Written
from amends.sagas import checked
from amends.sagas.approval_links import ApprovalLinks, Claim
from amends.sagas.checked import MILLISECOND
from amends.sagas.deciding import Approval, Deciding
from amends.sagas.desk import Desk
from amends.sagas.errors import ApprovalNotFound, DecisionRefused, InputInvalid, LinkInvalid


class Linking:
    """The links of one coordinator, `Coordinator.links`; `configured` is where they lead, if anywhere."""

    def __init__(self, desk: Desk, deciding: Deciding, links: ApprovalLinks | None) -> None:
        self._desk = desk
        self._deciding = deciding
        self.configured = links

    async def url_of(self, approval_id: str, person: str, *, within: dt.timedelta | None = None) -> str:
        """Make a link by which one person can decide one approval, as it is shown now.

        It is over with the approval's own time, or `within` so long. Making it writes nothing.
        Raises `ApprovalNotFound`, `DecisionRefused` where this person may not decide, and `InputInvalid`
        where the coordinator has no `approval_links=`.
        """
        approval, now = await self._deciding.get(approval_id), self._desk.now()
        name = checked.person(person, "a link's person")
        may = approval.approvers is None or name in approval.approvers
        if not may or name == approval.requested_by:
            raise DecisionRefused(f"approval {approval_id!r} takes no decision of {name}, so no link is made")
        ends = [] if approval.expires_at is None else [_ms(approval.expires_at)]
        if within is not None:
            ends.append(now + round(checked.duration(within, "within", InputInvalid) / MILLISECOND))
        claim = Claim(approval_id, name, approval.digest, now, min(ends, default=None))
        return self._configured().url_of(claim)

    async def show(self, token: str) -> tuple[Claim, Approval]:
        """Give what a link leads to, whatever has become of it. Raises `LinkInvalid`, `ApprovalNotFound`."""
        claim = self._claim(token)
        approval = await self._deciding.get(claim.approval_id)
        if approval.digest != claim.digest:
            raise LinkInvalid("the link was made for something else than what is asked now")
        return claim, approval

    async def objection(self, token: str) -> str:
        """Say why a link can't be used to decide any more; nothing where it can. Raises as `show` does."""
        claim, approval = await self.show(token)
        row = await self._deciding.row(claim.approval_id)
        if approval.status is not ApprovalStatus.PENDING:
            return f"it is {approval.status} already"
        if claim.person in approval.voters:
            return "you have approved it already; others have to approve as well"
        if claim.issued <= row.revoked_at(claim.person):
            return "the link was revoked"
        over = [each for each in (claim.expires, row.expires_at) if each is not None]
        return "its time is over" if over and min(over) <= self._desk.now() else ""

    async def decide(
        self, token: str, *, approved: bool, reason: str | None = None, values: Any = None
    ) -> Approval:
        """Decide as the person whom the link was made for; the audit trail says that it was by link.

        A link decides once: that person's vote counts once. Where values don't fit the form it isn't spent.
        Raises `LinkInvalid`, and what `Coordinator.decide` raises.
        """
        claim, _ = await self.show(token)
        if claim.expires is not None and claim.expires <= self._desk.now():
            raise DecisionRefused(
                f"the link to approval {claim.approval_id!r} takes no decision: its time is over"
            )
        await self._deciding.decide(
            claim.approval_id,
            approved=approved,
            by=claim.person,
            reason=reason,
            values=values,
            how="link",
            digest=claim.digest,
            connection=None,
            issued=claim.issued,
        )
        return await self._deciding.get(claim.approval_id)

    async def revoke(self, approval_id: str, person: str | None = None, *, by: str) -> None:
        """Revoke the links to an approval that were made so far, one person's or all; new ones may be made.

        It is in the audit trail. Raises `ApprovalNotFound`, `InputInvalid`.
        """
        actor, now = checked.person(by, "who revokes"), self._desk.now()
        whose = "" if person is None else checked.person(person, "a link's person")
        row = await self._deciding.row(approval_id)
        detail = json.dumps({"approval": approval_id, "person": person})
        audit = AuditRow(row.run_id, now, actor, "revoke links", detail)
        revocation = Revocation(approval_id, whose, now)
        receipt = await self._desk.write(Write(row.run_id, revoke=revocation, audit=(audit,)), None)
        if receipt.written is not Written.DONE:
            raise ApprovalNotFound(f"the links to approval {approval_id!r} stay: {receipt.reason}")

    def _claim(self, token: str) -> Claim:
        claim = self._configured().read(token)
        if claim is None:
            raise LinkInvalid("this link was not made here, or it is damaged")
        return claim

    def _configured(self) -> ApprovalLinks:
        if self.configured is None:
            raise InputInvalid(
                "this coordinator makes no links: give it Coordinator(url, approval_links=ApprovalLinks("
                "'https://…', secrets=...))"
            )
        return self.configured


def _ms(moment: dt.datetime) -> int:
    return round(moment.timestamp() * 1000)
