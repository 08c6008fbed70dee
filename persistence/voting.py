"""Decide what becomes of a vote; pure, once the database was asked."""

from __future__ import annotations

import json
from collections.abc import Mapping

from amends.persistence.approval_records import ApprovalState, ApprovalStatus, Revocation, Vote, latest
from amends.persistence.records import Cause, InboxRow, Status

DECIDED = "decided"
"""The kind of the message that tells a run of a decision."""


def objection(
    state: ApprovalState | None, vote: Vote, status: Status | None, cause: Cause | None, now: int
) -> str:
    """Say why a vote doesn't count; nothing, where it does."""
    if state is None or status is None:
        return "there is no such approval"
    if state.status is not ApprovalStatus.PENDING:
        return f"it is {state.status} already"
    if state.expires_at is not None and state.expires_at <= now:
        return "its time is over"
    if status not in (Status.OPEN, Status.PARKED) or cause is not None:
        return f"its run is {status}, and waits for it no more"
    return _among_voters(state, vote)


def _among_voters(state: ApprovalState, vote: Vote) -> str:
    """Say why a vote on something pending doesn't count beside the others."""
    others = ", ".join(sorted(state.votes))
    objections = {
        "somebody has told its run to stop, or acted on it, a moment ago; look again": state.called,
        "what was shown isn't what is to be approved": state.digest != vote.digest,
        f"{vote.by} has approved it already": vote.by in state.votes,
        "the link was revoked": vote.issued is not None and vote.issued <= latest(state.revoked, vote.by),
        f"{others} approved other values; everybody has to approve the same": vote.approved
        and any(values != vote.values for values in state.votes.values()),
    }
    return next((words for words, holds in objections.items() if holds), "")


def decided(state: ApprovalState, vote: Vote) -> ApprovalStatus:
    """Give what a vote that counts makes of its approval, and note it."""
    if not vote.approved:
        state.status = ApprovalStatus.REJECTED
    else:
        state.votes[vote.by] = vote.values
        if len(state.votes) >= state.quorum:
            state.status = ApprovalStatus.APPROVED
    return state.status


def revoked(known: Mapping[str, ApprovalState], revocation: Revocation | None) -> list[tuple[str, str]]:
    """Note that links don't count any more; gives what is stored of it, if there is such an approval."""
    state = None if revocation is None else known.get(revocation.approval_id)
    if state is None or revocation is None:
        return []
    person = revocation.person
    state.revoked[person] = max(revocation.at, state.revoked.get(person, -1))
    return [(revocation.approval_id, json.dumps(state.revoked, sort_keys=True))]


def message(run_id: str, vote: Vote, state: ApprovalState) -> InboxRow:
    """Make the message that tells the run."""
    meta = {
        "id": vote.approval_id,
        "outcome": state.status.value,
        "by": vote.by,
        "how": vote.how,
        "at": vote.at,
        "voters": sorted({*state.votes, vote.by}),
    }
    if vote.sender is not None:
        meta["from"] = vote.sender
    key = f"{DECIDED}:{vote.approval_id}"
    return InboxRow(run_id, key, DECIDED, vote.at, json.dumps(meta), vote.payload)
