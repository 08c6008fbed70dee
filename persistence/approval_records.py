"""The rows of approvals: what is asked, who has decided what."""

from __future__ import annotations

import json
from collections.abc import Mapping
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
    `issued` is when the link was made by which it came, None for any other way; `sender` is the span under
    which they decided.
    """

    approval_id: str
    by: str
    approved: bool
    how: str
    at: int
    digest: str
    values: str
    payload: bytes
    issued: int | None = None
    sender: str | None = None


@dataclass(frozen=True, slots=True)
class Revocation:
    """The word that links to an approval, made up to a moment, don't count any more; `person` empty: all."""

    approval_id: str
    person: str
    at: int


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
    revoked: str | None = None
    votes: tuple[Vote, ...] = ()
    unreadable: str = ""

    def revoked_at(self, person: str) -> int:
        """Give the moment up to which this person's links don't count; -1 where they all do."""
        return latest(read_revoked(self.revoked), person)


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
    revoked: dict[str, int] = field(default_factory=dict)


def read_revoked(stored: str | None) -> dict[str, int]:
    """Read which links are revoked: for each person, or all (empty), up to when they were made."""
    found: dict[str, int] = json.loads(stored) if stored else {}
    return found


def latest(revoked: Mapping[str, int], person: str) -> int:
    """Give the moment up to which a person's links don't count; -1 where they all do."""
    return max(revoked.get(person, -1), revoked.get("", -1))
