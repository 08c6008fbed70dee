"""Runs and their stories as JSON documents; docs/cli.md lists the keys."""

from __future__ import annotations

import json
from typing import Any

from amends.persistence.records import Loaded, RunRow
from amends.sagas.attributes import attributes_of, progress_in
from amends.sagas.compensation import owed, standing
from amends.sagas.failure import Failure
from amends.sagas.history import History
from amends.sagas.states import seen
from amends.sagas.step_record import StepRecord
from amends.story import shown, words
from amends.story.advice import commands
from amends.story.conversing import usage_of
from amends.story.events import Event, failure
from amends.story.view import View

Document = dict[str, Any]


def run_document(run: RunRow, view: View) -> Document:
    """Describe a run as `amends runs --json` lists it."""
    return {
        "id": run.id,
        "saga": run.saga,
        "version": run.version,
        "queue": run.queue,
        "parent": run.parent,
        "waits_for": run.waits_for if run.owner is None and run.ended_at is None else None,
        "status": seen(run, view.now).value,
        "served": view.is_served(run),
        "cause": None if run.cause is None else run.cause.value,
        "created_at": words.iso(run.created_at),
        "ended_at": words.iso(run.ended_at),
        "due_at": words.iso(run.due_at),
        "deadline_at": words.iso(run.deadline_at),
        "worker": run.owner,
        **shown.as_json(attributes_of(run.attributes), progress_in(run.progress)),
        "scheduled_for": words.iso(run.scheduled_for),
    }


def story_document(loaded: Loaded, view: View, events: list[Event], history: History) -> Document:
    """Describe a run and all that happened to it as `amends show --json` does."""
    run = loaded.run
    return {
        **run_document(run, view),
        "input": decoded(run.input),
        "result": decoded(run.result),
        "error": _error(failure(run.error)),
        "parked": history.park_reason if run.status == "parked" else None,
        "needs": run.needs,
        "owed": [
            {
                "step": step.name,
                "ref": step.ref,
                "compensation": step.handler,
                "run": child_of(step),
                "outcome": step.outcome.value,
                "attempts": step.undo_attempt,
                "error": _error(failure(step.undo_error)),
            }
            for step in owed(history.steps)
        ]
        if history.compensating or run.status == "parked"
        else [],
        "commands": [command for command, _ in commands(run, history)],
        "left_standing": left_standing(run, history),
        "models": usage_in(events),
        "unreadable": loaded.unreadable or None,
        "events": [_event(event) for event in events],
    }


def usage_in(events: list[Event]) -> Document | None:
    """Count what the models that the run asked have used up; None where it asked none."""
    return usage_of(event.detail["answer"] for event in events if "answer" in event.detail)


def left_standing(run: RunRow, history: History) -> list[Document]:
    """List the effects that stay in the world after a run that didn't complete."""
    if run.ended_at is None or run.status == "completed":
        return []
    return [
        {
            "step": step.name,
            "ref": step.ref,
            "run": child_of(step),
            "effect": step.effect.value,
            "outcome": step.outcome.value,
        }
        for step in standing(history.steps)
    ]


def child_of(step: StepRecord) -> str | None:
    """Give the id of the child run that a step is the call of."""
    return None if step.child is None else step.key


def decoded(data: bytes | None) -> Any:
    """Give a payload's value; one that isn't JSON is given as text."""
    if not data:
        return None
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return data.decode(errors="backslashreplace")


def _event(event: Event) -> Document:
    return {
        "at": words.iso(event.at),
        "what": event.what,
        "state": event.state or None,
        "step": event.step,
        "ref": event.ref,
        "attempt": event.attempt,
        "compensation": event.handler,
        "run": event.run,
        "took_ms": event.took,
        "outcome": event.outcome,
        "until": words.iso(event.until),
        "error": _error(event.error),
        "detail": event.detail,
    }


def _error(error: Failure | None) -> Document | None:
    if error is None:
        return None
    return {"type": error.type, "message": error.message, "traceback": error.traceback}
