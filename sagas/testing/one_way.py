"""The point of no return, seen from outside: a pivot that landed is never gone back behind (S14).

What the core itself makes of a pivot is not asked here: only the entries of the journal, and what was called.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from amends.persistence.records import Status
from amends.sagas.history import History
from amends.sagas.journal import Entry, Kind
from amends.sagas.outcome import Effect, Outcome
from amends.sagas.states import ENDS
from amends.sagas.step_record import StepRecord
from amends.sagas.testing.ledger import Ledger
from amends.sagas.testing.store import StoredRun


def gone_back(run: StoredRun, history: History, ledger: Ledger) -> Iterator[str]:
    """Give, in words, every way in which a run has gone back behind a pivot."""
    yield from _undone_behind(run.journal, history)
    for pivot in _pivots(history):
        landed = pivot.landed or (ledger.stands(pivot.key) and not _denied(pivot, run.journal))
        if landed and run.row.status in ENDS and run.row.status is not Status.COMPLETED:
            yield f"the run {run.row.status} although its pivot {_name(pivot)} landed (S14)"
    stuck_forward = "stuck forward" in history.park_reason or bool(history.stuck)
    if run.row.status is Status.PARKED and not stuck_forward and any(p.landed for p in _pivots(history)):
        yield f"the run is parked behind its pivot, and not as stuck forward: {history.park_reason} (S14)"


def denied(history: History, ledger: Ledger, entries: list[Entry]) -> list[StepRecord]:
    """Give the pivots that landed, and of which the step or its probe has said that they didn't."""
    return [
        pivot
        for pivot in _pivots(history)
        if not pivot.landed and ledger.stands(pivot.key) and _denied(pivot, entries)
    ]


def _undone_behind(entries: list[Entry], history: History) -> Iterator[str]:
    """Go through the journal: what a pivot needs to stand isn't undone once it landed, or may have."""
    pivots = {pivot.ref: Pivot(_name(pivot)) for pivot in _pivots(history)}
    undoable = {step.ref for step in history.steps.values() if not _beside(step, entries)}
    for entry in entries:
        ref = entry.ref or 0
        step = history.steps.get(ref)
        if ref in pivots:
            pivots[ref].take(entry)
        for number, pivot in pivots.items():
            back = entry.kind is Kind.SWITCH or (entry.kind is Kind.UNDO and ref in undoable and ref < number)
            state = pivot.state(entry.at)
            if back and state:
                what = "the run is turned round" if step is None else f"{_name(step)} is undone"
                yield f"{what} in entry {entry.seq} although the pivot {pivot.name} {state} (S14)"
            if entry.kind is Kind.SWITCH:
                pivot.stop()


@dataclass(slots=True)
class Pivot:
    """What a journal says of a pivot so far: `due` is when an attempt of it is, or was, under way."""

    name: str
    due: int | None = None
    landed: bool = False
    doubtful: bool = False
    over: bool = False

    def take(self, entry: Entry) -> None:
        """Take an entry about it."""
        meta, kind = entry.meta, entry.kind
        if kind is Kind.ABANDONED:
            self._give_up(entry.at)
            return
        self.landed = self.landed or kind is Kind.LANDED or meta.get("outcome") == Outcome.LANDED
        if meta.get("resolved"):
            self.doubtful = False
        elif kind is Kind.LOST or meta.get("outcome") == Outcome.UNKNOWN:
            self.doubtful = True
        if kind is Kind.INTENT:
            self.due = None if meta.get("asks") else entry.at
        elif kind is Kind.GRANTED:
            self.due = None if self.over else entry.at
        elif kind in (Kind.RETRY, Kind.LOST):
            self.due = meta.get("due", None if meta.get("final") else entry.at)
        else:
            self.due = None

    def state(self, at: int) -> str:
        """Say what is known of it at a moment; nothing where it surely isn't in the world."""
        if self.landed:
            return "had landed"
        sent = self.due is not None and self.due <= at
        return "might have landed" if self.doubtful or sent else ""

    def stop(self) -> None:
        """Note that the run has turned round: what hasn't been let go by then never is."""
        self.over = True

    def _give_up(self, at: int) -> None:
        self.over = True
        if self.due is not None and self.due > at:
            self.due = None


def _beside(step: StepRecord, entries: list[Entry]) -> bool:
    """Tell whether a step is undone by itself while the run goes forward: failed, given up, rolled back."""
    rolled_back = {entry.ref for entry in entries if entry.kind is Kind.ROLLBACK}
    return step.phase == "failed" or step.abandoned or bool(rolled_back.intersection(step.scopes))


def _denied(pivot: StepRecord, entries: list[Entry]) -> bool:
    """Tell whether a pivot is recorded as not landed: its own word, or its probe's."""
    return pivot.phase == "failed" and any(
        entry.ref == pivot.ref
        and entry.kind is Kind.FAILED
        and entry.meta.get("outcome") == Outcome.NOT_LANDED
        for entry in entries
    )


def _pivots(history: History) -> list[StepRecord]:
    return [step for step in history.steps.values() if step.effect is Effect.PIVOT]


def _name(step: StepRecord) -> str:
    return f"{step.name} ({step.ref})"
