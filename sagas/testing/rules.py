"""The safety rules that can be seen from outside: in a run's journal, and in what was really called."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from amends.persistence.records import Status
from amends.sagas.history import History
from amends.sagas.journal import Entry, Kind
from amends.sagas.states import ENDS
from amends.sagas.step_record import StepRecord, Undoing
from amends.sagas.testing.ledger import Ledger
from amends.sagas.testing.one_way import gone_back
from amends.sagas.testing.people import broken_votes
from amends.sagas.testing.store import StoredRun


def broken_rules(run: StoredRun, ledger: Ledger) -> list[str]:
    """Give every rule that an ended or parked run has broken, in words."""
    entries = run.journal
    history = folded(entries)
    found = [*_one_way(entries), *_never_again(entries), *_order(entries, history), *_keys(history, ledger)]
    found += gone_back(run, history, ledger)
    found += broken_post(run)
    found += broken_votes(run, entries, history)
    if run.row.status in ENDS:
        found += [*_nothing_owed(run, history), *_true_to_the_world(run, history, ledger)]
    return found


def folded(entries: Iterable[Entry]) -> History:
    """Fold a journal."""
    history = History()
    for entry in entries:
        history.apply(entry)
    return history


def broken_post(run: StoredRun) -> Iterator[str]:
    """Each signal is received once; those of one name in the order in which they were sent, none left out."""
    sent: dict[str, list[str]] = {}
    taken: dict[str, list[str]] = {}
    for row in run.inbox:
        if row.kind == Kind.SIGNAL:
            meta = json.loads(row.meta or "{}")
            sent.setdefault(meta["name"], []).append(meta["id"])
    for entry in run.journal:
        if entry.kind is Kind.SIGNAL:
            taken.setdefault(entry.name or "", []).append(entry.meta["id"])
    for name, ids in taken.items():
        if len(set(ids)) < len(ids):
            yield f"a signal {name!r} is in the journal twice: {ids}"
        elif ids != sent.get(name, [])[: len(ids)]:
            yield f"the signals {name!r} were sent as {sent.get(name)}, and taken as {ids}"


def _one_way(entries: list[Entry]) -> Iterator[str]:
    switched = next((entry.seq for entry in entries if entry.kind is Kind.SWITCH), None)
    for entry in entries:
        forward = entry.kind in (Kind.INTENT, Kind.RETRY, Kind.FIRED)
        if switched is not None and forward and entry.seq > switched:
            yield f"entry {entry.seq} goes forward after the decision to undo the run (S4)"


def _never_again(entries: list[Entry]) -> Iterator[str]:
    undone: set[int] = set()
    for entry in entries:
        ref = entry.ref or 0
        if entry.kind in (Kind.UNDO, Kind.UNDO_RETRY, Kind.UNDO_LOST, Kind.UNDONE) and ref in undone:
            yield f"the compensation of step {ref} goes on after it succeeded: entry {entry.seq} (S9)"
        if entry.kind is Kind.UNDONE:
            undone.add(ref)


def _order(entries: list[Entry], history: History) -> Iterator[str]:
    """S7: what began after an outcome was delivered is undone before that outcome's effect."""
    switched = next((entry.seq for entry in entries if entry.kind is Kind.SWITCH), None)
    if switched is None:
        return
    undone_at = {entry.ref: entry.seq for entry in entries if entry.kind is Kind.UNDONE}
    begun_at = {entry.ref: entry.seq for entry in entries if entry.kind is Kind.UNDO and entry.seq > switched}
    for first in history.steps.values():
        begun = begun_at.get(first.ref)
        if first.delivered_seq is None or begun is None:
            continue
        for later in history.steps.values():
            follows = later.undoable and later.intent_seq >= first.delivered_seq
            to_undo = later.ref in begun_at or later.owed
            if follows and to_undo and undone_at.get(later.ref, len(entries) + 1) > begun:
                yield f"{_name(first)} is undone before {_name(later)}, which came after it (S7)"


def _keys(history: History, ledger: Ledger) -> Iterator[str]:
    keys = [step.key for step in history.steps.values() if step.key]
    if len(keys) != len(set(keys)):
        yield "two steps share an idempotency key (S9)"
    of_step: dict[tuple[str, int, bool], str] = {}
    for call in ledger.calls:
        attempt = call.attempt
        if not attempt.key:
            # A read has none before it has to be repeated.
            continue
        known = of_step.setdefault((attempt.run_id, attempt.ref, attempt.undoing), attempt.key)
        if known != attempt.key:
            yield f"the idempotency key of {call.name} changed from one attempt to the next (S9)"
        if attempt.undoing and attempt.key == attempt.forward_key:
            yield f"{call.name} has the step's idempotency key (S9)"


def _nothing_owed(run: StoredRun, history: History) -> Iterator[str]:
    for step in history.active.values():
        yield f"the run ended with {_name(step)} under way (S13)"
    for step in history.unsettled.values():
        yield f"the run ended with {_name(step)} unsettled (S27)"
    if run.row.status is not Status.COMPLETED:
        for step in history.steps.values():
            if step.owed:
                yield f"the run ended owing the compensation of {_name(step)} (S13)"


def _true_to_the_world(run: StoredRun, history: History, ledger: Ledger) -> Iterator[str]:
    """S3, S13: what landed stands in a completed run, and is undone in any other."""
    completed = run.row.status is Status.COMPLETED
    for step in history.steps.values():
        if step.handler is None:
            continue
        landed = step.phase == "landed" and not step.abandoned and step.undoing is not Undoing.DONE
        stands = ledger.stands(step.key)
        if stands and not (completed and landed):
            yield f"{_name(step)} landed and wasn't undone, in a run that {run.row.status} (S3)"
        elif completed and landed and not stands:
            yield f"{_name(step)} was undone, in a run that completed with it (S3)"


def _name(step: StepRecord) -> str:
    return f"{step.name} ({step.ref})"
