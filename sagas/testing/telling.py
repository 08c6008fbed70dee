"""Telling what happened in a simulated run, for a person."""

from __future__ import annotations

import pprint
from collections.abc import Iterable, Iterator
from typing import Any

from amends.sagas.compensation import owed
from amends.sagas.failure import Failure
from amends.sagas.journal import Entry
from amends.sagas.testing.judging import Allowed, cause_of
from amends.sagas.testing.mishaps import Mishap, Point
from amends.sagas.testing.rules import folded
from amends.sagas.testing.stage import BEGINNING, Stage

WIDTH = 96
DONE = {
    Mishap.KILLED_BEFORE: "the worker was killed before",
    Mishap.KILLED_AFTER: "the worker was killed after",
    Mishap.FAILS: "failed each time, without being called:",
    Mishap.TIMES_OUT: "timed out each time, without being called:",
    Mishap.UNANSWERED: "was called, and its answer was lost and timed out, each time:",
    Mishap.CANCELLED_BEFORE: "the run was cancelled just before",
    Mishap.CANCELLED_AFTER: "the run was cancelled just after",
    Mishap.CANCELLED_DURING: "the run was cancelled during",
    Mishap.FROZEN: "the worker froze at",
    Mishap.EARLY: "was sent as soon as there was a run:",
    Mishap.LATE: "was sent only once the run had gone on without it:",
}
OF_THE_POINT = (Mishap.FAILS, Mishap.TIMES_OUT, Mishap.UNANSWERED, Mishap.EARLY, Mishap.LATE)
"""What is told of a point itself, and not of the worker at it."""


def story(stage: Stage, allowed: Allowed, problem: str) -> str:
    """Tell what was done to a run, what was wrong with its end, what the world held, and the journal."""
    parts = [problem, "", *_section("what was done", (_done(*hit) for hit in stage.hit))]
    if allowed.compare:
        parts += _section("the world at the start", _shown(allowed.start))
        parts += _section("the world at the undisturbed end", _shown(allowed.end))
        parts += _section("the world now", _shown(stage.after))
    parts += _section("the run", _run(stage))
    parts += _section("what was really called", _calls(stage))
    return "\n".join(parts)


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    yield f"{title}:"
    found = [f"    {line}" for line in lines]
    yield from found or ["    nothing"]


def _done(point: Point, mishap: Mishap) -> str:
    if mishap in OF_THE_POINT:
        return f"{point} {DONE[mishap]} {point.what}"
    told = DONE[mishap].replace("worker", "sender") if point.kind == "signal" else DONE[mishap]
    return f"{told} {point}: {point.what}"


def _shown(world: Any) -> list[str]:
    return pprint.pformat(world, width=WIDTH).splitlines()


def _run(stage: Stage) -> Iterator[str]:
    run = stage.run
    if run is None:
        yield "was never started"
        return
    history = folded(run.journal)
    yield f"{run.row.status}{cause_of(history)}"
    if run.row.error is not None:
        failure = Failure.from_json(run.row.error)
        yield f"error: {failure.type}: {failure.message}"
    if history.parked:
        yield f"parked: {history.park_reason}"
    for step in owed(history.steps) if not history.ended else ():
        yield f"owed: the compensation of {step.name} ({step.ref})"
    yield from (entry_line(entry) for entry in run.journal)


def entry_line(entry: Entry) -> str:
    """Show an entry in one line."""
    seconds = (entry.at - BEGINNING) / 1000
    what = entry.kind.value
    if entry.name is not None:
        what += f" {entry.name} ({entry.ref})"
    elif entry.ref is not None:
        what += f" {entry.ref}"
    if entry.attempt is not None and entry.attempt > 1:
        what += f", attempt {entry.attempt}"
    return f"{entry.seq:3} {seconds:12,.3f} s  {what}{_detail(entry)}"


def _detail(entry: Entry) -> str:
    told = [
        str(entry.meta[name]) for name in ("cause", "reason", "status", "outcome") if entry.meta.get(name)
    ]
    return f": {', '.join(told)}" if told else ""


def _calls(stage: Stage) -> Iterator[str]:
    for call in stage.ledger.calls:
        seconds = (call.started - BEGINNING) / 1000
        told = call.told or "still under way"
        key = f" key …{call.attempt.key[-8:]}" if call.attempt.key else ""
        what = f"{call.name}, attempt {call.attempt.attempt}"
        yield f"call {call.number:3} {seconds:12,.3f} s  {what}{key}: {told}"
