"""Child runs, seen from their parent: starting them, calling them off, undoing them, hearing of them (S19).

What one run tells another goes through inboxes, in the transaction of the turn that gives rise to it.
"""

from __future__ import annotations

import functools
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from amends.persistence.records import InboxRow, NewRun, Status, Tell, Wake
from amends.sagas import parents
from amends.sagas.commands import Command
from amends.sagas.errors import RunFailed
from amends.sagas.failure import Failure, describe, rebuild
from amends.sagas.journal import Kind, Said
from amends.sagas.outcome import Outcome
from amends.sagas.places import above, below
from amends.sagas.registry import SAGAS, STEPS
from amends.sagas.saga import Saga
from amends.sagas.step_record import MOVING, SETTLED, StepRecord
from amends.tracing.identity import inherited

if TYPE_CHECKING:
    from amends.sagas.run import LiveRun

ENDING = ("status", "cause", "owes", "stands", "stays", "pivoted", "undone")
"""What a child tells of its end that goes into the parent's journal."""
REPORTED = ("said", "reason")
"""What goes there of anything else that it tells."""


def id_of(parent: str, ref: int) -> str:
    """Give the id of a child run: its parent's, and the number of the call there."""
    return f"{parent}/{ref}"


def start(run: LiveRun, step: StepRecord, saga: Saga[..., Any], command: Command, now: int) -> None:
    """Have a child run started with this turn."""
    deadline = None if saga.deadline is None else now + round(saga.deadline / timedelta(milliseconds=1))
    place = below(run.row, command.place)
    run.draft.starts[step.key] = NewRun(
        step.key,
        saga.name,
        saga.version,
        step.arguments,
        now,
        deadline,
        place.queue,
        run.row.id,
        step.ref,
        run.row.root or run.row.id,
        command.no_pivot,
        trace=None if run.row.trace is None else inherited(run.row.trace),
        queued=place.queued,
        queue_key=place.key,
        above=above(run.row),
    )


def call_off(run: LiveRun, step: StepRecord, now: int) -> None:
    """Ask a child run to stop and undo itself.

    One that this very turn starts is taken back; but for a savepoint's, whose outcome the body may still wait
    for: that one is let end first.
    """
    if step.key not in run.draft.starts:
        _ask_to_undo(run, step, Wake.CANCEL, now)
    elif step.abandoned or run.history.compensating:
        del run.draft.starts[step.key]
        run.take_back(step, now)


def undo(run: LiveRun, step: StepRecord, now: int) -> None:
    """Ask a child run that has ended to undo itself; it answers however it ended."""
    _ask_to_undo(run, step, Wake.PARENT, now)


def grant(run: LiveRun, step: StepRecord, path: list[int], now: int) -> None:
    """Let a pivot below be executed; from here on this run waits for its outcome."""
    run.tell(Kind.CHILD, now, step.ref, name=step.name, meta={"said": Said.GRANTED.value, "path": path})
    _send(run, step, Kind.GRANTED, {"path": path}, Wake.NONE, now)


def take(run: LiveRun, row: InboxRow, meta: dict[str, Any], now: int) -> None:
    """Take what a child run says."""
    step = run.history.steps.get(meta["ref"])
    if step is None or step.child is None:
        return
    said = Said(meta["said"])
    if said is Said.ENDED:
        _take_end(run, step, row, meta, now)
    elif said is Said.ASKS:
        _take_question(run, step, meta["path"], now)
    else:
        told = {name: meta[name] for name in REPORTED if name in meta}
        run.tell(Kind.CHILD, now, step.ref, name=step.name, meta=told)
        if said in (Said.PIVOTED, Said.OVER):
            parents.tell(run, said, now)


def blocked_reason(steps: dict[int, StepRecord]) -> str:
    """Say why a run is parked whose child runs are."""
    first = next(iter(steps.values()))
    why = first.child.blocked if first.child is not None else ""
    others = f", and {len(steps) - 1} more of its child runs," if len(steps) > 1 else ""
    are = "are" if others else "is"
    return f"child run {first.key!r} ({first.name}){others} {are} parked; see to that first: {why}"


def error_of(step: StepRecord) -> BaseException:
    """Give the error of a child run that failed, as its parent's body sees it.

    It is the child's own where one ended it, and `RunFailed` where it was cancelled or its deadline passed.
    """
    child = step.child
    version = "" if child is None else child.version
    saga = SAGAS.get((step.name, version))
    error = None
    if step.error is not None:
        error = rebuild(Failure.from_json(step.error), functools.partial(_known, saga))
        if child is None or child.cause == "error":
            return error
    status, cause = ("failed", None) if child is None else (child.status, child.cause)
    return RunFailed(
        f"child run {step.key!r} ({step.name}) ended without a result: {status} ({cause})",
        run_id=step.key,
        status=status,
        cause=cause,
        error=error,
    )


def _known(saga: Saga[..., Any] | None, name: str) -> type[BaseException] | None:
    """Find an exception's class by what the child's code can name: its saga, and the steps it may call."""
    found = None if saga is None else saga.known(name)
    return found or next(filter(None, (step.known(name) for step in STEPS.all())), None)


def _take_end(run: LiveRun, step: StepRecord, row: InboxRow, meta: dict[str, Any], now: int) -> None:
    facts = {name: meta[name] for name in ENDING if name in meta}
    if meta["status"] == Status.COMPLETED:
        if step.moving:
            run.tell(Kind.LANDED, now, step.ref, step.attempt, step.name, facts, row.payload or b"null")
        elif step.undoing in MOVING:
            error = describe(RuntimeError(f"child run {step.key!r} can't be undone")).to_json()
            run.tell(Kind.UNDO_FAILED, now, step.ref, step.undo_attempt, step.name, facts, error)
    elif step.moving:
        facts["outcome"] = Outcome.NOT_LANDED.value
        run.tell(Kind.FAILED, now, step.ref, step.attempt, step.name, facts, row.payload)
    elif step.landed and step.undoing not in SETTLED:
        run.tell(Kind.UNDONE, now, step.ref, step.undo_attempt, step.name, facts)


def _take_question(run: LiveRun, step: StepRecord, path: list[int], now: int) -> None:
    """Take that a pivot below is due: it waits for what the topmost run says (S14)."""
    meta = {"said": Said.ASKS.value, "path": path}
    run.record(Kind.CHILD, now, step.ref, name=step.name, meta=meta)
    if not _waited_for(run, step):
        # It has been told, or is being told, to undo itself, and has no pivot behind it.
        return
    if run.row.parent is None:
        grant(run, step, path, now)
    else:
        parents.tell(run, Said.ASKS, now, {"path": [step.ref, *path]})


def pass_on(run: LiveRun, path: list[int], now: int) -> None:
    """Pass on to a child run that a pivot below it may be executed, if it is still wanted."""
    step = run.history.steps[path[0]]
    if _waited_for(run, step):
        grant(run, step, path[1:], now)
    else:
        meta = {"said": Said.REFUSED.value, "path": path[1:]}
        run.record(Kind.CHILD, now, step.ref, name=step.name, meta=meta)
        parents.tell(run, Said.OVER, now)


def _waited_for(run: LiveRun, step: StepRecord) -> bool:
    """Tell whether a child run goes forward: with this one's leave, or because it is beyond its pivot."""
    child = step.child
    going = child is not None and (child.pivoted or not child.told)
    return going and step.moving and not run.history.compensating


def _ask_to_undo(run: LiveRun, step: StepRecord, wake: Wake, now: int) -> None:
    by = f"run {run.row.id}"
    _send(run, step, Kind.CANCEL, {"reason": f"{by} is undone or has given it up", "by": by}, wake, now)


def _send(run: LiveRun, step: StepRecord, kind: Kind, meta: dict[str, Any], wake: Wake, now: int) -> None:
    key = f"parent:{run.history.seq}:{len(run.draft.tells)}"
    row = InboxRow(step.key, key, kind.value, now, json.dumps(meta))
    run.draft.tells.append(Tell(row, wake))
