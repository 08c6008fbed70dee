"""Telling one run's story in the terminal."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from amends.cli.output import plain, render, write_json
from amends.cli.reading import reading
from amends.cli.statuses import UNSERVED, in_words, style_of
from amends.persistence.records import Loaded, RunRow
from amends.sagas.attributes import attributes_of, progress_in
from amends.sagas.compensation import owed
from amends.sagas.history import History
from amends.sagas.missing import missing
from amends.sagas.step_record import StepRecord, Undoing
from amends.story import conversing, shown, words
from amends.story.advice import commands
from amends.story.documents import Document, left_standing, story_document, usage_in
from amends.story.events import Event, failure, tell
from amends.story.lines import brief, line, mark
from amends.story.view import View

LONGEST_PAYLOAD = 600

CALM = ("landed", "undone", "running", "due")
"""Events whose sign alone is coloured."""


def show_run(url: str, run_id: str, *, as_json: bool) -> None:
    """Print a run and what happened to it. Raises `RunNotFound`."""
    with reading(url) as database:
        loaded = database.load(run_id)
        view = View.of(database)
        if loaded is None:
            raise missing(run_id, database.removals.tombstones(run_id))
    events, history = tell(loaded, view.now)
    if as_json:
        write_json(story_document(loaded, view, events, history))
        return
    facts = _facts(loaded, view, history, usage_in(events))
    render(_title(loaded.run, view), Text(), facts, Text(), _story(events, view))


def _title(run: RunRow, view: View) -> Text:
    return Text.assemble(plain(run.id, "bold"), "  ", plain(in_words(run, view), style_of(run, view)))


def _facts(loaded: Loaded, view: View, history: History, usage: dict[str, Any] | None) -> Table:
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_column(no_wrap=True, style="dim", width=9)
    facts.add_column(overflow="fold")
    for name, text in _told(loaded, view, history):
        facts.add_row(name, text)
    if usage is not None:
        facts.add_row("models", plain(conversing.spent(usage)))
    return facts


def _told(loaded: Loaded, view: View, history: History) -> Iterator[tuple[str, Text]]:
    run, now = loaded.run, view.now
    yield from _named(run)
    yield "started", plain(words.when(run.created_at, now))
    if run.ended_at is not None:
        took = words.duration(run.ended_at - run.created_at)
        yield "ended", plain(f"{words.when(run.ended_at, now)}, took {took}")
    yield from _open_facts(run, view)
    yield from _shown(run, now)
    yield "input", plain(_payload(run.input))
    if (error := failure(run.error)) is not None:
        yield "error", plain(brief(error), "red")
    if run.result is not None:
        yield "result", plain(_payload(run.result))
    if run.status == "parked":
        yield "parked", plain(history.park_reason or "for a reason that isn't on record", "red")
    if run.status in ("parked", "compensating"):
        for step in owed(history.steps):
            yield "owed", plain(_owed(step))
    for command, what in commands(run, history):
        yield "you can", Text.assemble(plain(command, "bold"), plain(f"  {what}", "dim"))
    for effect in left_standing(run, history):
        yield "standing", plain(_standing(effect), "yellow")
    if loaded.unreadable:
        yield "problem", plain(loaded.unreadable, "red")


def _named(run: RunRow) -> Iterator[tuple[str, Text]]:
    version = "" if run.version == "1" else f", version {run.version}"
    yield "saga", plain(f"{run.saga}{version}")
    if run.parent is not None:
        yield "parent", plain(run.parent)


def _shown(run: RunRow, now: int) -> Iterator[tuple[str, Text]]:
    """Say what the run shows of itself."""
    progress = progress_in(run.progress)
    if progress is not None:
        told = words.relative(round(progress.at.timestamp() * 1000), now)
        yield "progress", plain(f"{shown.bar(progress)} ({told})")
    if attributes := attributes_of(run.attributes):
        yield "shows", plain(shown.listed(attributes))


def _standing(effect: Document) -> str:
    what = effect["effect"] if effect["run"] is None else f"of child run {effect['run']}"
    doubt = "" if effect["outcome"] == "landed" else ", nobody knows whether it landed"
    return f"{effect['step']} ({what}{doubt})"


def _open_facts(run: RunRow, view: View) -> Iterator[tuple[str, Text]]:
    if run.ended_at is not None:
        return
    if run.deadline_at is not None:
        yield "deadline", plain(words.when(run.deadline_at, view.now))
    if run.owner is not None:
        yield "worker", plain(run.owner)
    if view.unserved(run):
        yield UNSERVED, plain(f"no live worker serves saga {run.saga!r}, version {run.version}", "magenta")
    elif run.owner is None and run.due_at is not None and run.due_at > view.now:
        yield "due", plain(words.when(run.due_at, view.now))


def _owed(step: StepRecord) -> str:
    if step.child is None:
        landed = "landed" if step.landed else "may have landed"
        text = f"{step.name}, which {landed}, to be undone by {step.handler}"
    else:
        text = f"{step.name}, to be undone by child run {step.key}"
    error = failure(step.undo_error)
    if step.undoing is Undoing.STUCK:
        text += f": failed for good{f' ({brief(error)})' if error else ''}"
    return text


def _payload(data: bytes) -> str:
    text = data.decode(errors="backslashreplace")
    with contextlib.suppress(ValueError):
        text = json.dumps(json.loads(text), ensure_ascii=False)
    if len(text) <= LONGEST_PAYLOAD:
        return text
    return f"{text[:LONGEST_PAYLOAD]}… ({len(data):,} bytes; --json gives them all)"


def _story(events: list[Event], view: View) -> Group:
    """Lay the events out: when, how long it took, and what."""
    dates = not all(words.same_day(events[0].at, event.at) for event in events)
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(no_wrap=True, style="dim", justify="right")
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for event in events:
        took = "" if event.took is None else words.duration(event.took)
        sign, style = mark(event)
        text = plain(line(event, view.now), "" if event.state in CALM else style)
        grid.add_row(words.clock(event.at, date=dates), took, Text(sign, style), text)
    return Group(grid)
