"""The rows of approvals: what is asked, who has decided what."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class ApprovalStatus(StrEnum):
    """What became of an approval."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class NewApproval:
    """An approval to be inserted with the turn that asks for it. Times are milliseconds of database time.

    `request` is JSON, `digest` what a decision is bound to, `ref` the number of the call in the run,
    `quorum` how many people have to approve.
    """

    id: str
    run_id: str
    ref: int
    digest: str
    request: bytes
    quorum: int
    created_at: int
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class Closing:
    """What a run's own turn makes of an approval that is still pending."""

    id: str
    status: ApprovalStatus
    at: int


@dataclass(frozen=True, slots=True)
class Vote:
    """One person's decision: who, which way, how they came to it, and of what (`digest`).

    `values` is the digest of what was filled in; `payload` is JSON with these values and the reason.
    """

    approval_id: str
    by: str
    approved: bool
    how: str
    at: int
    digest: str
    values: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class ApprovalRow:
    """An approval as stored. `decided_by` names who decided last, `decision` is their vote's payload."""

    id: str
    run_id: str
    ref: int
    status: ApprovalStatus
    digest: str
    request: bytes
    quorum: int
    decision: bytes | None
    decided_by: str | None
    created_at: int
    expires_at: int | None
    decided_at: int | None
    votes: tuple[Vote, ...] = ()
    unreadable: str = ""


@dataclass(slots=True)
class ApprovalState:
    """What a batch knows of an approval, kept up with its own writes.

    `votes` are the digests of the values by voter: all of them approve, since a rejection ends it. `called`
    tells that the run has been told to stop, or somebody has acted on it, and it hasn't taken that yet.
    """

    status: ApprovalStatus
    digest: str
    quorum: int
    expires_at: int | None
    called: bool
    votes: dict[str, str] = field(default_factory=dict)
