"""What a coordinator offers to those who let people decide."""

from __future__ import annotations

from typing import Any

from amends.persistence.approval_records import ApprovalStatus
from amends.sagas.deciding import Approval, Deciding
from amends.sagas.joining import Joinable

Approvals = list[Approval]


class People:
    """The approvals of a coordinator's database: what people are asked, and what they say."""

    _deciding: Deciding

    async def approvals(
        self,
        status: ApprovalStatus | str | None = "pending",
        *,
        run_id: str | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> Approvals:
        """List what people are asked to decide, the oldest first.

        `status` is one of `ApprovalStatus`, None for all; `run_id` gives one run's, `after` is the last id of
        the page before. Raises `InputInvalid`.
        """
        return await self._deciding.list(status=status, run_id=run_id, limit=limit, after=after)

    async def approval(self, approval_id: str) -> Approval:
        """Give one approval. Raises `ApprovalNotFound`."""
        return await self._deciding.get(approval_id)

    async def decide(
        self,
        approval_id: str,
        *,
        approved: bool,
        by: str,
        reason: str | None = None,
        values: Any = None,
        how: str = "api",
        digest: str | None = None,
        connection: Joinable | None = None,
    ) -> None:
        """Decide for somebody; returns once that is durable. It counts once, and is in the audit trail.

        `by` is believed: who lets people in has to know them. `values` are what they filled in, by name, or
        an instance of the form; `how` says by which way they came. With `digest`, an `Approval.digest`,
        the decision is bound to what that one showed. With `connection` it counts if and only if that
        transaction commits; see `start`.
        Raises `ApprovalNotFound`, `InputInvalid` for values that don't fit the form or an `approved` that is
        no bool, `PayloadTooLarge`, and `DecisionRefused` where somebody has decided already, the time is
        over, the run no longer waits for it, or `by` may not decide.
        """
        await self._deciding.decide(
            approval_id,
            approved=approved,
            by=by,
            reason=reason,
            values=values,
            how=how,
            digest=digest,
            connection=connection,
        )
