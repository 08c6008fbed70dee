"""What a person can type about a parked run: the commands that fit it as it stands."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from amends.persistence.records import OTHER_CODE, RunRow, Status
from amends.sagas.history import History
from amends.sagas.operating import Act, Action, objection


def commands(run: RunRow, history: History) -> list[tuple[str, str]]:
    """Give commands, each with what it does, for a run that is parked; none for any other."""
    if run.status is not Status.PARKED:
        return []
    return list(_commands(shlex.quote(run.id), run.needs, history))


def _commands(run: str, needs: str | None, history: History) -> Iterator[tuple[str, str]]:
    for step in history.blocked.values():
        yield f"amends show {shlex.quote(step.key)}", f"see what child run {step.name} needs"
    for step in history.doubts.values():
        yield f"amends resolve {run} {step.ref} --landed --evidence '…'", f"{step.name} did land"
        yield f"amends resolve {run} {step.ref} --not-landed --evidence '…'", f"{step.name} did not"
        if objection(history, Action(Act.RETRY, "", step.ref)) is None:
            yield f"amends retry {run} {step.ref}", f"try {step.name} again, with the same key"
    for step in history.stuck.values():
        undoing = step.handler if step.child is None else f"undoing child run {step.key}"
        yield f"amends retry {run} {step.ref}", f"try {undoing} again"
        yield f"amends skip {run} {step.ref} --reason '…'", f"leave it out: {step.name} stays"
    if not (history.doubts or history.stuck or history.blocked):
        yield f"amends resume {run}", _resumed(needs)
    if objection(history, Action(Act.ABORT, "")) is None:
        yield f"amends abort {run} --reason '…'", "undo what it has done"


def _resumed(needs: str | None) -> str:
    if needs is not None and needs.startswith(OTHER_CODE):
        return "go on with this code; with other code it goes on by itself"
    if needs is not None:
        return f"try again; with a worker that defines {needs} it goes on by itself"
    return "go on: what was in its way is gone"
