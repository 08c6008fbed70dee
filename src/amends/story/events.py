"""A run's journal as a story: what happened when, one event for each attempt, wait and decision.

Entries of a kind that isn't known here are told by their kind, so that the story is never silent about one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from amends.persistence.records import EntryRow, InboxRow, Loaded, RunRow
from amends.sagas.errors import RecordUnreadable
from amends.sagas.failure import Failure
from amends.sagas.history import History
from amends.sagas.journal import Kind, from_row, split_read
from amends.sagas.step_record import MOVING, Phase, StepRecord, Undoing
from amends.story.conversing import Talk


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the story.

    `what` is `step`, `probe`, `undo`, or what else happened (`started`, `timer`, `cancel`, `decision`,
    `parked`, …); `state` is how the attempt ended (`landed`, `undone`, `failed`, `retry`, `lost`, `doubt`) or
    stands (`running`, `due`), `outcome` whether its effect is in the world. `run` is the id of the child run
    that the step is the call of. Times are milliseconds.
    """

    at: int
    what: str
    state: str = ""
    step: str | None = None
    ref: int | None = None
    attempt: int | None = None
    handler: str | None = None
    took: int | None = None
    outcome: str | None = None
    error: Failure | None = None
    until: int | None = None
    detail: dict[str, Any] = field(default_factory=dict)
    run: str | None = None


ENDINGS = {
    Kind.LANDED: ("step", "landed"),
    Kind.DOUBT: ("step", "doubt"),
    Kind.FAILED: ("step", "failed"),
    Kind.RETRY: ("step", "retry"),
    Kind.LOST: ("step", "lost"),
    Kind.UNDONE: ("undo", "undone"),
    Kind.UNDO_FAILED: ("undo", "failed"),
    Kind.UNDO_RETRY: ("undo", "retry"),
    Kind.UNDO_LOST: ("undo", "lost"),
}
"""Entries that end an attempt."""

BEGINNINGS = {Kind.INTENT: "step", Kind.UNDO: "undo"}
"""Entries that begin one."""

RENAMED = {Kind.SWITCH: "decision", Kind.FIRED: "timer", Kind.BEAT: "heartbeat"}

KEPT = ("drained", "by", "reason", "probed", "resolved", "late", "status", "cause")
"""What of an attempt's end is told beside its outcome."""


class Teller:
    """Folds a journal into its story and its history."""

    def __init__(self, created_at: int) -> None:
        self.history = History(at=created_at)
        self.events = [Event(created_at, "started")]
        self._began: dict[tuple[int | None, str], int] = {}
        self._talk = Talk()

    def take(self, row: EntryRow) -> None:
        """Take one entry in."""
        before = self.history.at
        idle = not self.history.active
        try:
            entry = from_row(row)
            self.history.apply(entry)
        except (RecordUnreadable, KeyError):
            self.events.append(Event(row.at, row.kind, step=row.name, ref=row.ref, detail=_meta(row.meta)))
            return
        if entry.kind in BEGINNINGS:
            self._began[entry.ref, BEGINNINGS[entry.kind]] = entry.at
        elif entry.kind in (Kind.RETRY, Kind.UNDO_RETRY) and "by" in entry.meta:
            self.events.append(self._asked(row, entry.kind, entry.meta))
        elif entry.kind in ENDINGS:
            self.events.append(self._attempt(row, entry.kind, entry.meta))
        elif entry.kind is Kind.BEAT:
            self._merge(row, "heartbeat", {"details": _text(row)})
        elif entry.kind is Kind.PROGRESS:
            self._merge(row, "progress", entry.meta)
        else:
            waited = entry.at - before if entry.kind is Kind.FIRED and idle else None
            told = _other(row, entry.kind, entry.meta, waited)
            if entry.kind is Kind.APPROVAL:
                told = replace(told, detail={**told.detail, **self._talk.asked(row.payload)})
            self.events.append(replace(told, run=self.child(row.ref)))

    def _attempt(self, row: EntryRow, kind: Kind, meta: dict[str, Any]) -> Event:
        what, state = ENDINGS[kind]
        if meta.get("probed"):
            what = "probe"
        began = meta.get("started", self._began.get((row.ref, what), row.at))
        self._began[row.ref, "step" if what == "probe" else what] = meta.get("due", row.at)
        payload = row.payload
        if meta.get("read") and payload is not None:
            payload = split_read(payload)[1]
        child = self.child(row.ref)
        return Event(
            began,
            what,
            state,
            self._named(row),
            row.ref,
            row.attempt,
            self._handler(row.ref) if what == "undo" else None,
            row.at - began if child or "started" in meta else None,
            meta.get("outcome"),
            None if state in ("landed", "undone") else failure(payload),
            meta.get("due"),
            {name: meta[name] for name in KEPT if meta.get(name)} | self._said(row, what, state),
            child,
        )

    def _said(self, row: EntryRow, what: str, state: str) -> dict[str, Any]:
        """Tell what a model said, or what a tool was called with and gave."""
        step = self.history.steps.get(row.ref or 0)
        if step is None or what != "step":
            return {}
        return self._talk.of(step.name, step.arguments, step.result if state == "landed" else None)

    def _asked(self, row: EntryRow, kind: Kind, meta: dict[str, Any]) -> Event:
        """Tell that a person has asked for another attempt."""
        what = "step" if kind is Kind.RETRY else "undo"
        self._began[row.ref, what] = meta["due"]
        handler = self._handler(row.ref) if what == "undo" else None
        told = {name: meta[name] for name in KEPT if meta.get(name)}
        return Event(row.at, "retry", "", self._named(row), row.ref, row.attempt, handler, detail=told)

    def _merge(self, row: EntryRow, what: str, detail: dict[str, Any]) -> None:
        """Tell how far it is: the last that was said stands for what the same attempt said before it."""
        told = Event(row.at, what, "", self._named(row), row.ref, row.attempt, detail=detail)
        last = self.events[-1]
        if (last.what, last.ref, last.attempt) == (told.what, told.ref, told.attempt):
            self.events.pop()
        self.events.append(told)

    def pending(self, now: int, *, held: bool) -> Iterable[Event]:
        """Tell what is under way or due at the end of the journal; without a worker nothing is under way."""
        for step in self.history.active.values():
            if step.moving:
                yield from self._forward(step, now, held=held)
            if step.undoing in MOVING:
                due = step.undo_due_at if step.undoing is Undoing.WAITING else None
                yield self._next(step, "undo", step.undo_attempt, due, now, held=held)

    def _forward(self, step: StepRecord, now: int, *, held: bool) -> Iterable[Event]:
        if step.phase is not Phase.DOUBTFUL:
            due = step.due_at if step.phase is Phase.WAITING else None
            yield self._next(step, "step", step.attempt, due, now, held=held)
        elif step.due_at is not None:
            yield self._next(step, "probe", step.attempt, step.due_at, now, held=held)

    def _next(
        self, step: StepRecord, what: str, attempt: int, due: int | None, now: int, *, held: bool
    ) -> Event:
        if step.child is not None or step.asks:
            return self._elsewhere(step, what, now)
        handler = step.handler if what == "undo" else None
        if due is not None and due > now:
            return Event(due, what, "due", step.name, step.ref, attempt, handler, until=due)
        began = self._began.get((step.ref, "undo" if what == "undo" else "step"), step.started_at)
        if not held:
            return Event(began, what, "due", step.name, step.ref, attempt, handler)
        return Event(began, what, "running", step.name, step.ref, attempt, handler, took=now - began)

    def _elsewhere(self, step: StepRecord, what: str, now: int) -> Event:
        """Tell of what other runs are to do: a child run, or those above that let a pivot be executed."""
        began = self._began.get((step.ref, what), step.started_at)
        run = None if step.child is None else step.key
        blocked = step.child is not None and bool(step.child.blocked)
        told = {name: True for name, holds in (("asks", step.asks), ("blocked", blocked)) if holds}
        return Event(began, what, "running", step.name, step.ref, took=now - began, detail=told, run=run)

    def child(self, ref: int | None) -> str | None:
        """Give the id of the child run that a step is the call of."""
        step = self.history.steps.get(ref or 0)
        return None if step is None or step.child is None else step.key

    def _named(self, row: EntryRow) -> str | None:
        step = self.history.steps.get(row.ref or 0)
        return row.name or (None if step is None else step.name)

    def _handler(self, ref: int | None) -> str | None:
        step = self.history.steps.get(ref or 0)
        return None if step is None else step.handler


def tell(loaded: Loaded, now: int) -> tuple[list[Event], History]:
    """Tell a run's story up to now, in the order of time, and give the history behind it."""
    run = loaded.run
    teller = Teller(run.created_at)
    for entry in loaded.entries:
        teller.take(entry)
    events = teller.events
    if run.ended_at is None:
        events += teller.pending(now, held=run.owner is not None)
        if run.status == "open" and run.owner is None and not teller.history.active:
            events += _waiting(run, teller.history.at, now)
    events += [_unread(message, teller) for message in loaded.inbox]
    return sorted(events, key=lambda event: event.at), teller.history


def failure(payload: bytes | None) -> Failure | None:
    """Give the recorded error, if there is one that can be read."""
    if payload is None:
        return None
    try:
        return Failure.from_json(payload)
    except (ValueError, KeyError, TypeError):
        return None


def _waiting(run: RunRow, since: int, now: int) -> Iterable[Event]:
    """Tell that the body waits: for a timer, for a signal, or for news."""
    due = run.due_at
    if due is None or due > now:
        detail = {"for": run.waits_for} if run.waits_for else {}
        yield Event(since, "wait", "due", took=now - since, until=due, detail=detail)


def _other(row: EntryRow, kind: Kind, meta: dict[str, Any], waited: int | None) -> Event:
    what = RENAMED.get(kind, kind.value)
    error = failure(row.payload) if kind is Kind.SWITCH else None
    outcome = meta.get("outcome")
    began = row.at if waited is None else row.at - waited
    if kind is Kind.FLOOR:
        meta = {**meta, "input": _text(row)}
    elif kind is Kind.SIGNAL:
        meta = {**meta, "payload": _text(row)}
    return Event(began, what, "", row.name, row.ref, row.attempt, None, waited, outcome, error, None, meta)


def _text(row: EntryRow) -> str | None:
    return None if row.payload is None else row.payload.decode(errors="backslashreplace")


def _unread(message: InboxRow, teller: Teller) -> Event:
    meta = _meta(message.meta)
    if message.kind == Kind.SIGNAL and message.payload is not None:
        meta["payload"] = message.payload.decode(errors="backslashreplace")
    ref = meta.get("ref")
    child = teller.child(ref) if message.kind == Kind.CHILD else None
    return Event(message.at, message.kind, "unread", ref=ref, detail=meta, run=child)


def _meta(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
