"""Asking people, as an `ApprovalPolicy` says: about calls, results, budgets, and what a model asks."""

from __future__ import annotations

from typing import Any

from amends.agents.approval_policy import LONGEST_TITLE, ApprovalPolicy
from amends.sagas.approving import Decision, approval


async def decision_on(policy: ApprovalPolicy, form: Any, title: str, details: Any) -> Decision[Any]:
    """Ask, and give what was decided; `form` is what is filled in, and None where nothing is."""
    decided: Decision[Any] = await approval(
        form,
        title=title[:LONGEST_TITLE],
        details=details,
        approvers=policy.approvers,
        requested_by=policy.requested_by,
        quorum=policy.quorum,
        timeout=policy.timeout,
        remind_every=policy.remind_every,
        escalate_to=policy.escalate_to,
        escalate_after=policy.escalate_after,
    )
    return decided
