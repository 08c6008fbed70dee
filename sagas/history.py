"""A run's state as its journal tells it: the fold of the entries, one at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from amends.persistence.records import Cause
from amends.sagas.folding import APPLY
from amends.sagas.journal import Entry, Kind
from amends.sagas.outcome import Effect
from amends.sagas.request import ApprovalRecord
from amends.sagas.step_record import MOVING, UNDER_WAY, ChildRecord, Phase, StepRecord, Undoing


@dataclass(slots=True)
class History:
    """The state of a run, folded from its journal; nothing else decides what is owed.

    `active` holds the steps with a call under way or due, forward or backward; `unsettled` those to be
    undone although the run goes forward; `stuck` those whose compensation failed for good. `doubts` are those
    of which a probe or a person has to say whether they landed, `pivots` the pivots on their way; `pivoted`
    tells that one landed. `rolling` are the savepoints that are being undone, with their steps. `asked` is
    what wants the run undone and waits for a pivot's outcome, `overdue` tells that the deadline passed when
    it couldn't be. `parked_lost` tells that the run was parked before anybody could say what became of the
    attempts under way. `blocked` are the child runs that are parked, `approvals` what people haven't decided
    yet; `attributes` and `progress` are what the run shows of itself, as JSON values. `worker` is who made
    the last attempts. What the last entries
    mean for others stands in `called_off`, child runs that nobody waits for any more, and `decided`, granted
    pivots whose outcome is known; whoever acts on that takes it out.
    """

    steps: dict[int, StepRecord] = field(default_factory=dict)
    active: dict[int, StepRecord] = field(default_factory=dict)
    unsettled: dict[int, StepRecord] = field(default_factory=dict)
    stuck: dict[int, StepRecord] = field(default_factory=dict)
    doubts: dict[int, StepRecord] = field(default_factory=dict)
    pivots: dict[int, StepRecord] = field(default_factory=dict)
    rolling: dict[int, list[StepRecord]] = field(default_factory=dict)
    pivoted: bool = False
    asked: Cause | None = None
    overdue: bool = False
    seq: int = 0
    at: int = 0
    compensating: bool = False
    cause: Cause | None = None
    error: bytes | None = None
    parked: bool = False
    park_reason: str = ""
    parked_lost: bool = False
    ended: bool = False
    undone: bool = False
    landed_after_undo: dict[int, StepRecord] = field(default_factory=dict)
    blocked: dict[int, StepRecord] = field(default_factory=dict)
    approvals: dict[int, ApprovalRecord] = field(default_factory=dict)
    called_off: list[StepRecord] = field(default_factory=list)
    decided: list[StepRecord] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)
    progress: dict[str, Any] | None = None
    worker: str = ""

    def apply(self, entry: Entry) -> int | None:
        """Take one entry in. Gives the number of the step whose outcome the entry delivers to the body."""
        self.seq = entry.seq
        self.at = max(self.at, entry.at)
        self.worker = entry.meta.get("worker", self.worker)
        handle = APPLY.get(entry.kind)
        step = None
        if handle is not None:
            step = handle(self, entry)
        if step is None:
            return None
        self.file(step)
        return self._delivers(step, entry)

    def file(self, step: StepRecord) -> None:
        """Put a step whose record has changed where it belongs now."""
        if step.phase in UNDER_WAY or step.undoing in MOVING:
            self.active[step.ref] = step
        else:
            self.active.pop(step.ref, None)
        if step.undoing is Undoing.NONE and step.to_settle:
            self.unsettled[step.ref] = step
        elif self.unsettled:
            self.unsettled.pop(step.ref, None)
        if step.undoing is Undoing.STUCK and step.owed:
            self.stuck[step.ref] = step
        elif self.stuck:
            self.stuck.pop(step.ref, None)
        if step.phase is Phase.DOUBTFUL:
            self.doubts[step.ref] = step
        elif self.doubts:
            self.doubts.pop(step.ref, None)
        if step.effect is Effect.PIVOT:
            self._file_pivot(step)
        elif step.child is not None:
            self._file_child(step, step.child)

    def _file_pivot(self, step: StepRecord) -> None:
        if step.landed:
            self.pivoted, self.asked = True, None
        if step.moving and not step.asks:
            self.pivots[step.ref] = step
        else:
            self.pivots.pop(step.ref, None)
            if step.granted and not step.moving:
                step.granted = False
                self.decided.append(step)

    def _file_child(self, step: StepRecord, child: ChildRecord) -> None:
        if child.pivoted:
            self.pivoted, self.asked = True, None
        if child.pivoting:
            self.pivots[step.ref] = step
        else:
            self.pivots.pop(step.ref, None)
        if child.blocked:
            self.blocked[step.ref] = step
        else:
            self.blocked.pop(step.ref, None)

    def call_off(self, step: StepRecord) -> None:
        """Note that nobody waits for a child run any more; it has to be told, once."""
        if step.child is not None and step.moving and not step.child.told:
            step.child.told = True
            self.called_off.append(step)

    def _delivers(self, step: StepRecord, entry: Entry) -> int | None:
        if step.delivered_seq is not None or step.abandoned or self.compensating or step.moving:
            return None
        if entry.kind in (Kind.LATE, Kind.ABANDONED, Kind.CHILD):
            return None
        if step.phase is Phase.FAILED and step.owed:
            return None
        step.delivered_seq = entry.seq
        return step.ref

    def of(self, entry: Entry) -> StepRecord:
        """Find the step that an entry speaks of. Raises `ValueError` where there is none."""
        if entry.ref is None or entry.ref not in self.steps:
            raise ValueError(f"journal entry {entry.seq} ({entry.kind}) speaks of a step that has no intent")
        return self.steps[entry.ref]
