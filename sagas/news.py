"""What goes into a turn and what comes out of it, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from amends.persistence.approval_records import Closing, NewApproval
from amends.persistence.attribute_records import Shown
from amends.persistence.records import AuditRow, InboxRow, NewRun, RunChange, Tell
from amends.sagas.journal import Entry
from amends.sagas.notes import Notes
from amends.sagas.outcome import Outcome

Key = tuple[str, int, bool]
"""An attempt under way: run, number, whether it is the compensation."""


@dataclass(slots=True)
class Attempt:
    """One execution of a step or compensation that a turn asks for, to be started after its commit.

    `arguments` and `result` are JSON; `result`, `outcome`, `cause` and `forward_key` are for compensations;
    `probing` tells that the step's probe is to be asked instead; `details` are the last heartbeat's, `known`
    are the attributes that the run has, `beside` is what the body hands over unrecorded.
    """

    run_id: str
    ref: int
    attempt: int
    name: str
    key: str
    arguments: bytes
    timeout_ms: int
    handler: str | None = None
    result: bytes | None = None
    outcome: Outcome = Outcome.UNKNOWN
    cause: str = ""
    forward_key: str = ""
    probing: bool = False
    details: bytes | None = None
    known: Mapping[str, Any] = field(default_factory=dict)
    beside: object = None

    @property
    def undoing(self) -> bool:
        """Tell whether a compensation is to be executed, not the step."""
        return self.handler is not None


@dataclass(slots=True)
class Attempted:
    """What came of an attempt: `result` and `error` are JSON, `exception` is the error itself.

    `read` tells that the attempt can't have changed the world, `probing` that it is a probe's answer;
    `details` are what its last heartbeat told, `notes` what it said of the run, where nobody has recorded it.
    `said` is what it said of itself for its span. `rolled_back` tells that nothing landed because its
    transaction didn't, which is no answer; `settled` that no earlier attempt can land now.
    """

    ref: int
    attempt: int
    undoing: bool
    outcome: Outcome
    started_at: int
    ended_at: int
    result: bytes | None = None
    error: bytes | None = None
    exception: BaseException | None = None
    read: bool = False
    probing: bool = False
    details: bytes | None = None
    notes: Notes | None = None
    rolled_back: bool = False
    settled: bool = False
    said: Mapping[str, Any] | None = None

    def begun(self) -> dict[str, Any]:
        """Give what every outcome has on record: when the attempt began, and what it said of itself."""
        return {"started": self.started_at} | ({} if self.said is None else {"said": dict(self.said)})


@dataclass(frozen=True, slots=True)
class Beat:
    """What a heartbeat of an attempt under way told: JSON."""

    ref: int
    attempt: int
    details: bytes


@dataclass(frozen=True, slots=True)
class Noted:
    """What an attempt under way said of the run."""

    ref: int
    attempt: int
    undoing: bool
    notes: Notes


News = Attempted | Beat | Noted | InboxRow


@dataclass(slots=True)
class Turn:
    """What one turn wants written, and what is to be done once it is.

    `attempts` start after the commit; where `durable` is false nothing has to be written first. `starts` are
    child runs and those that tell others of this one, `tells` messages to other runs, `asks` and `closes`
    approvals, all written with the turn. `contends` tells that it must lose to a message that the run hasn't
    taken.
    `wake_at` is when the run has to be looked at again without news; `idle` says that nothing of it is
    under way in this process. `needs` names a handler that this process lacks, `shown` is what the run shows
    of itself, where that has changed.
    """

    entries: list[Entry] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    starts: dict[str, NewRun] = field(default_factory=dict)
    tells: list[Tell] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    audit: list[AuditRow] = field(default_factory=list)
    asks: list[NewApproval] = field(default_factory=list)
    closes: list[Closing] = field(default_factory=list)
    contends: bool = False
    change: RunChange | None = None
    durable: bool = False
    progressed: bool = False
    wake_at: int | None = None
    idle: bool = False
    ended: bool = False
    parked: str = ""
    needs: str | None = None
    shown: Shown | None = None

    def start(self, *runs: NewRun) -> None:
        """Have runs started with the turn."""
        self.starts.update((run.id, run) for run in runs)
