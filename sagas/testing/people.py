"""Deciding what a simulated run asks people; judged by what judges decisions in the databases."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from amends.persistence.approval_records import ApprovalRow, ApprovalState, ApprovalStatus, NewApproval
from amends.persistence.records import Write, Written
from amends.sagas.deciding import vote_of
from amends.sagas.errors import DecisionRefused, InputInvalid
from amends.sagas.history import History
from amends.sagas.journal import Entry, Kind

if TYPE_CHECKING:
    from amends.sagas.testing.stage import Stage
    from amends.sagas.testing.store import StoredRun


@dataclass(frozen=True, slots=True)
class Decides:
    """One person's decision of what the run asks by then, given to `crash_test` and `simulate` in `signals=`.

    `values` is what is filled in; who decides for a quorum stands there once each. Where the run asks nobody
    when its turn has come, it is left out.

    >>> crash_test(
    ...     refund, 10, world=shop, signals=[Decides(by="ann"), Decides(by="bob", approved=False)]
    ... )
    """

    by: str
    approved: bool = True
    values: Any = None
    reason: str | None = None

    @property
    def name(self) -> str:
        """What it is called in a story."""
        return f"{self.by}'s decision"


@dataclass(slots=True)
class Asked:
    """An approval as stored."""

    new: NewApproval
    state: ApprovalState = field(init=False)

    def __post_init__(self) -> None:
        new = self.new
        self.state = ApprovalState(
            ApprovalStatus.PENDING, new.digest, new.quorum, new.expires_at, called=False
        )

    @property
    def row(self) -> ApprovalRow:
        """The approval as whoever decides reads it."""
        new = self.new
        return ApprovalRow(
            new.id,
            new.run_id,
            new.ref,
            self.state.status,
            new.digest,
            new.request,
            new.quorum,
            None,
            None,
            new.created_at,
            new.expires_at,
            None,
        )


def pending(run: StoredRun | None) -> str | None:
    """Give the oldest approval of a run that is pending."""
    found = () if run is None else run.approvals.values()
    return next((asked.new.id for asked in found if asked.state.status is ApprovalStatus.PENDING), None)


def decide(stage: Stage, run: StoredRun, approval_id: str, decision: Decides) -> str:
    """Have a person decide; say what became of it."""
    asked = run.approvals[approval_id]
    try:
        vote = vote_of(
            asked.row,
            decision.by,
            decision.reason,
            decision.values,
            approved=decision.approved,
            how="test",
            now=stage.now(),
        )
    except (DecisionRefused, InputInvalid) as problem:
        return f"refused: {problem}"
    receipt = stage.store.apply(Write(run.row.id, vote=vote), None, None)
    return "counted" if receipt.written is Written.DONE else f"refused: {receipt.reason}"


def broken_votes(run: StoredRun, entries: list[Entry], history: History) -> Iterator[str]:
    """A10: what became of an approval is heard once, as it was decided; perhaps not after a turn."""
    heard: dict[str, list[str]] = {}
    for entry in entries:
        if entry.kind is Kind.DECIDED:
            heard.setdefault(entry.meta["id"], []).append(entry.meta["outcome"])
    unread = {json.loads(row.meta or "{}").get("id") for row in run.unread if row.kind == Kind.DECIDED}
    for name, asked in run.approvals.items():
        outcomes, status = heard.pop(name, []), asked.state.status
        silent = status in (ApprovalStatus.PENDING, ApprovalStatus.WITHDRAWN)
        may_miss = history.compensating or name in unread
        if outcomes != ([] if silent else [status.value]) and not (may_miss and not outcomes):
            yield f"approval {name} is {status}, and the run has heard {outcomes} (A10)"
    if heard:
        yield f"the run has heard of approvals that it never asked for: {sorted(heard)} (A10)"
