"""A run's status in words."""

from __future__ import annotations

from amends.persistence.records import Cause, RunRow
from amends.sagas.states import Status, seen
from amends.story import words
from amends.story.view import View

UNSERVED = "unserved"
"""Not a status of its own: the run is ready, and no live worker serves its saga."""

STYLES = {
    Status.RUNNING: "cyan",
    Status.COMPENSATING: "yellow",
    Status.PARKED: "bold red",
    Status.COMPLETED: "green",
    Status.COMPENSATED: "yellow",
    Status.PARTIALLY_COMPENSATED: "yellow",
    Status.FAILED: "red",
}

CAUSES = {
    Cause.ERROR: "an error",
    Cause.CANCEL: "a cancel",
    Cause.DEADLINE: "its deadline",
    Cause.OPERATOR: "an operator",
}


def in_words(run: RunRow, view: View) -> str:
    """Say how a run stands: `waiting, due in 2 h`, `compensated after an error`."""
    status = seen(run, view.now)
    word = status.value.replace("_", " ")
    if view.unserved(run):
        return UNSERVED if status is Status.READY else f"{word}, {UNSERVED}"
    if status is Status.WAITING:
        return f"{word}, due {words.relative(run.due_at, view.now)}" if run.due_at else f"{word} for news"
    if run.cause is None or status in (Status.CANCELLED, Status.PARKED):
        return word
    return f"{word} after {CAUSES[run.cause]}"


def style_of(run: RunRow, view: View) -> str:
    """Give the colour of a run's status."""
    return "bold magenta" if view.unserved(run) else STYLES.get(seen(run, view.now), "")
