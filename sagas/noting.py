"""What a run shows of itself: notes become entries, and the row that people look at (S18, S23)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from amends.persistence.attribute_records import AttributeRow, Shown
from amends.persistence.records import AuditRow
from amends.sagas.attributes import MOST, in_words
from amends.sagas.journal import Entry, Kind
from amends.sagas.news import Attempted, Noted
from amends.sagas.notes import Notes

if TYPE_CHECKING:
    from amends.sagas.body import Body
    from amends.sagas.history import History
    from amends.sagas.run import LiveRun


def take(run: LiveRun, item: Attempted | Noted, now: int) -> None:
    """Take what an attempt says of the run, if it is one that the run waits for."""
    if item.notes is None or not _is_current(run, item):
        return
    record(run, item.notes, now, item)
    if isinstance(item, Noted):
        # Nothing else may be written for as long as the attempt takes.
        run.draft.durable = run.draft.durable or run.noted is not None


def record(run: LiveRun, notes: Notes, now: int, of: Attempted | Noted | None = None) -> None:
    """Record what is new in notes: the body's own, or those of an attempt."""
    ref, attempt = (None, None) if of is None else (of.ref, of.attempt)
    known = run.history.attributes
    changed = {name: value for name, value in notes.attributes.items() if known.get(name) != value}
    if changed := _as_many_as_fit(run, changed, now):
        run.record(Kind.ATTRIBUTES, now, ref, attempt, meta={"set": changed})
        run.noted = (run.noted or set()) | changed.keys()
    before = run.history.progress
    if notes.progress is not None and (before is None or notes.progress != _without_time(before)):
        run.record(Kind.PROGRESS, now, ref, attempt, meta=notes.progress)
        run.noted = run.noted or set()


def shown(run: LiveRun) -> Shown | None:
    """Give what is to be written of what the run shows; None where nothing of it has changed."""
    noted, run.noted = run.noted, None
    if noted is None:
        return None
    known, told = run.history.attributes, run.history.progress
    rows = tuple(_row(run, name, known.get(name)) for name in sorted(noted))
    return Shown(_json(known) if known else None, None if told is None else _json(told), rows)


def collect(run: LiveRun, body: Body, now: int) -> None:
    """Record what the body has said since the last time."""
    if body.notes:
        notes, body.notes = body.notes, Notes()
        record(run, notes, now)


def apply_attributes(history: History, entry: Entry) -> None:
    """Fold attributes."""
    for name, value in entry.meta["set"].items():
        if value is None:
            history.attributes.pop(name, None)
        else:
            history.attributes[name] = value


def apply_progress(history: History, entry: Entry) -> None:
    """Fold progress."""
    history.progress = {**entry.meta, "at": entry.at}


def _is_current(run: LiveRun, item: Attempted | Noted) -> bool:
    if (item.ref, item.attempt, item.undoing) in run.executing:
        return True
    step = run.history.steps.get(item.ref)
    return step is not None and item.attempt == (step.undo_attempt if item.undoing else step.attempt)


def _as_many_as_fit(run: LiveRun, changed: dict[str, Any], now: int) -> dict[str, Any]:
    """Leave out the last of what several steps, none of which knew of the others, have made too many."""
    known = run.history.attributes
    room = MOST - len(known) + sum(value is None and name in known for name, value in changed.items())
    fresh = [name for name, value in changed.items() if value is not None and name not in known]
    if len(fresh) <= room:
        return changed
    left_out = fresh[room:]
    told = json.dumps({"names": left_out, "reason": f"a run may have {MOST} attributes"})
    run.draft.audit.append(AuditRow(run.row.id, now, run.worker, "attributes refused", told))
    return {name: value for name, value in changed.items() if name not in left_out}


def _row(run: LiveRun, name: str, value: Any) -> AttributeRow:
    kind, words = (None, "") if value is None else in_words(value)
    return AttributeRow(run.row.id, name, kind, words, run.row.created_at)


def _without_time(progress: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in progress.items() if name != "at"}


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))
