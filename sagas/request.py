"""What people are asked to approve, and what they answered, as plain data."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Request:
    """What is shown to whoever may approve, and the conditions.

    `details`, `form` (the JSON schema of what may be filled in) and `values` (what is filled in already) are
    JSON values. `approvers` are names, None means anybody; `requested_by` may not approve. Times are
    milliseconds after the request: when it expires, how often people are reminded, and when the people in
    `escalate_to` may approve as well.
    """

    title: str
    details: Any = None
    form: dict[str, Any] | None = None
    values: Any = None
    approvers: tuple[str, ...] | None = None
    requested_by: str | None = None
    quorum: int = 1
    timeout: int | None = None
    remind_every: int | None = None
    escalate_to: tuple[str, ...] = ()
    escalate_after: int | None = None

    def to_json(self) -> bytes:
        """Give it as JSON, the same bytes for the same request."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Request:
        """Read what `to_json` gave; what newer code has added is left out."""
        given = json.loads(data)
        known = {name: given[name] for name in cls.__slots__ if name in given}
        for name in ("approvers", "escalate_to"):
            if known.get(name) is not None:
                known[name] = tuple(known[name])
        return cls(**known)

    @property
    def digest(self) -> str:
        """What a decision is bound to: the hash of all that was shown and of the form."""
        shown = [self.title, self.details, self.form, self.values]
        return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()

    def asks_the_same(self, recorded: Request) -> bool:
        """Tell whether this is the request that was recorded, whatever has become of the form since."""
        return (self.title, self.details) == (recorded.title, recorded.details)

    def may_decide(self, elapsed: int) -> tuple[str, ...] | None:
        """Name who may decide, so long after the request; None: anybody."""
        if self.approvers is None:
            return None
        late = self.escalate_after is not None and elapsed >= self.escalate_after
        return (*self.approvers, *self.escalate_to) if late else self.approvers


@dataclass(slots=True)
class ApprovalRecord:
    """What a run's journal says of an approval that it waits for. Times are milliseconds."""

    ref: int
    id: str
    request: Request
    at: int
    reminded: int = 0
    escalated: bool = False

    @property
    def expires_at(self) -> int | None:
        """When it is over without a decision."""
        return None if self.request.timeout is None else self.at + self.request.timeout

    @property
    def reminds_at(self) -> int | None:
        """When people are reminded next."""
        every = self.request.remind_every
        return None if every is None else self.at + every * (self.reminded + 1)

    @property
    def escalates_at(self) -> int | None:
        """When others are asked as well, if they haven't been."""
        after = self.request.escalate_after
        return None if after is None or self.escalated else self.at + after

    @property
    def due_at(self) -> int | None:
        """When something has to be done about it without a decision."""
        moments = (self.expires_at, self.reminds_at, self.escalates_at)
        return min((moment for moment in moments if moment is not None), default=None)


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an approval, as the body hears it: `meta` says who and how, `payload` is JSON."""

    outcome: str
    meta: dict[str, Any] = field(default_factory=dict)
    payload: bytes = b"{}"
