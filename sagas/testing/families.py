"""What child runs and their parents owe each other, seen from outside (S14, S19)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from amends.persistence.records import Status
from amends.sagas.outcome import Effect
from amends.sagas.states import ENDS
from amends.sagas.step_record import StepRecord
from amends.sagas.testing.rules import folded
from amends.sagas.testing.store import StoredRun


def broken_families(runs: Mapping[str, StoredRun]) -> Iterator[str]:
    """Give, in words, every rule that holds between runs and is broken."""
    for run in runs.values():
        parent = runs.get(run.row.parent or "")
        if parent is not None:
            yield from _between(parent, run)
            if _past_its_pivot(run):
                yield from _gone_back_above(runs, run)


def settled(runs: Mapping[str, StoredRun], run: StoredRun) -> bool:
    """Tell whether a run has ended or is parked, or waits for a run above it that is parked."""
    if run.settled:
        return True
    above = runs.get(run.row.parent or "")
    waits = run.row.owner is None and run.row.due_at is None
    return waits and above is not None and above.row.status not in ENDS and settled(runs, above)


def _between(parent: StoredRun, child: StoredRun) -> Iterator[str]:
    name, status = child.row.id, child.row.status
    above, call = parent.row.status, _call(parent, child)
    if call is None:
        yield f"child run {name} has no intent in its parent's journal (S1)"
        return
    if status is Status.PARKED and above not in (Status.PARKED, Status.COMPLETED):
        yield f"child run {name} is parked, and its parent {above} (S19)"
    if status not in (*ENDS, Status.PARKED) and above in ENDS:
        yield f"child run {name} goes on although its parent {above} (S19)"
    owes = any(step.owed for step in folded(child.journal).steps.values())
    left = status is Status.COMPLETED and owes and not (call.child is not None and call.child.pivoted)
    if left and above in ENDS and (above is not Status.COMPLETED or call.abandoned or call.phase == "failed"):
        yield f"child run {name} completed and wasn't undone, and its parent {above} (S19)"


def _gone_back_above(runs: Mapping[str, StoredRun], run: StoredRun) -> Iterator[str]:
    above = runs.get(run.row.parent or "")
    while above is not None:
        if above.row.status in ENDS and above.row.status is not Status.COMPLETED:
            yield f"run {above.row.id} {above.row.status} although a pivot of {run.row.id} landed (S14)"
        above = runs.get(above.row.parent or "")


def _past_its_pivot(run: StoredRun) -> bool:
    steps = folded(run.journal).steps.values()
    return any(step.effect is Effect.PIVOT and step.landed for step in steps)


def _call(parent: StoredRun, child: StoredRun) -> StepRecord | None:
    return folded(parent.journal).steps.get(child.row.parent_ref or 0)
