"""One effect occurrence: everything that a run's journal says of one call of a step."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from amends.sagas.outcome import Effect, Outcome


class Phase(StrEnum):
    """Where the forward call of a step stands."""

    RUNNING = "running"
    WAITING = "waiting"
    DOUBTFUL = "doubtful"
    LANDED = "landed"
    FAILED = "failed"


class Undoing(StrEnum):
    """Where the compensation of a step stands."""

    NONE = "none"
    RUNNING = "running"
    WAITING = "waiting"
    DONE = "done"
    STUCK = "stuck"
    WAIVED = "waived"


UNDER_WAY = (Phase.RUNNING, Phase.WAITING, Phase.DOUBTFUL)
MOVING = (Undoing.RUNNING, Undoing.WAITING)
SETTLED = (Undoing.DONE, Undoing.WAIVED)


@dataclass(slots=True)
class ChildRecord:
    """What the journal says of a child run, beside what it says of any call.

    `owes` tells that undoing it would undo something, `stands` that something of it stays in the world,
    undone or not; `stays` names a step of it that would stand in the way of a pivot. `blocked` is why it is
    parked. `pivoting` counts its pivots that were let go and aren't settled, `pivoted` tells that one landed.
    `told` tells that it was asked to stop. `status` and `cause` are how it ended.
    """

    version: str
    owes: bool = False
    stands: bool = False
    stays: str = ""
    blocked: str = ""
    pivoting: int = 0
    pivoted: bool = False
    told: bool = False
    status: str = ""
    cause: str | None = None


@dataclass(slots=True)
class StepRecord:
    """One effect occurrence: everything that the journal says of one call of a step.

    The call of a child run is one too: its `key` is then the child's id. `astray` are the attempts that were
    lost and may still land until `window`. `asks` tells of a pivot that waits
    for the run's ancestors, `granted` that they wait for it.
    """

    ref: int
    name: str
    effect: Effect
    key: str
    handler: str | None
    arguments: bytes
    intent_seq: int
    started_at: int
    timeout_ms: int
    attempt: int = 1
    lost: int = 0
    probes: int = 0
    details: bytes | None = None
    phase: Phase = Phase.RUNNING
    due_at: int | None = None
    doubtful: bool = False
    landed: bool = False
    result: bytes | None = None
    error: bytes | None = None
    delivered_seq: int | None = None
    ended_at: int | None = None
    abandoned: bool = False
    scopes: tuple[int, ...] = ()
    window: int | None = None
    astray: frozenset[int] = frozenset()
    undoing: Undoing = Undoing.NONE
    undo_attempt: int = 0
    undo_lost: int = 0
    undo_due_at: int | None = None
    undo_started_at: int | None = None
    undo_error: bytes | None = None
    cause: str = ""
    child: ChildRecord | None = None
    asks: bool = False
    granted: bool = False

    @property
    def may_stand(self) -> bool:
        """Tell whether the effect is, or may be, in the world (its undoing aside)."""
        return self.landed or self.doubtful or self.phase in UNDER_WAY

    @property
    def owed(self) -> bool:
        """Tell whether its compensation must still succeed if it is undone."""
        return self.undoable and self.may_stand and self.undoing not in SETTLED

    @property
    def undoable(self) -> bool:
        """Tell whether there is a way to undo it: a compensation, or a child run that owes some."""
        child = self.child
        if child is None:
            return self.handler is not None
        return self.phase in UNDER_WAY or (child.owes and not child.pivoted)

    @property
    def moving(self) -> bool:
        """Tell whether its forward call is under way, waits for its next attempt, or is in doubt."""
        return self.phase in UNDER_WAY

    @property
    def to_settle(self) -> bool:
        """Tell whether it must be undone although the run goes forward: it failed, or was abandoned."""
        return self.owed and not self.moving and (self.phase is Phase.FAILED or self.abandoned)

    @property
    def outcome(self) -> Outcome:
        """What is known of the effect."""
        if self.landed:
            return Outcome.LANDED
        return Outcome.UNKNOWN if self.may_stand else Outcome.NOT_LANDED
