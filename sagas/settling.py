"""What follows from a run's state: timers, undoing, ends and parking."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

from amends.persistence.records import Cause, RunChange, Serves
from amends.persistence.records import Status as Stored
from amends.sagas import approvals, asking, children, notices, parents, reports
from amends.sagas.body import Body, too_large
from amends.sagas.compensation import UndoOrder, can_be_undone, owed, standing
from amends.sagas.errors import AmendsError, ResultInvalid
from amends.sagas.failure import Failure, describe
from amends.sagas.journal import Kind, Said, join_read
from amends.sagas.loop import EndlessTurn
from amends.sagas.registry import HANDLERS, STEPS
from amends.sagas.states import end_of
from amends.sagas.step_record import Phase, StepRecord, Undoing

if TYPE_CHECKING:
    from amends.sagas.run import LiveRun

MOST_FIRED = 20_000
"""So many timers may fire in one turn: a body that sleeps for next to nothing would never leave it."""


UNTOLD = Failure("", "no error on record", None, "").to_json()


def fire_due(run: LiveRun, now: int) -> None:
    """Let the next attempts, the deadline and the body's timers come that are due."""
    start_due(run, now)
    if run.park_reason:
        return
    turn_round(run, now)
    if run.body is not None:
        approvals.fire_due(run, now)
    fired = 0
    while run.body is not None and (number := run.body.loop.due(now)) is not None:
        fired += 1
        if fired > MOST_FIRED:
            raise EndlessTurn(fired)
        run.tell(Kind.FIRED, now, number, meta={"since": run.body.loop.since(number)})


def turn_round(run: LiveRun, now: int) -> None:
    """Let a cancel or the deadline come; a pivot under way is waited for, one that landed stands (S14)."""
    history, deadline = run.history, run.row.deadline_at
    if history.compensating or history.ended or history.pivots:
        return
    if history.asked is not None:
        run.switch(history.asked, now)
    elif deadline is not None and deadline <= now and not history.overdue:
        if history.pivoted:
            run.record(Kind.OVERDUE, now)
        else:
            run.switch(Cause.DEADLINE, now)


def start_due(run: LiveRun, now: int) -> None:
    """Let the attempts start that are due.

    Before any news is taken: a step whose attempt is due when it is abandoned, or when the run turns round,
    counts as under way (`history.py`), so that a worker which died then may have sent it.
    """
    if run.park_reason:
        return
    while run.dues and run.dues[0][0] <= now:
        _, ref = heapq.heappop(run.dues)
        step = run.history.steps[ref]
        if step.phase is Phase.WAITING and (step.due_at or 0) <= now:
            step.phase = Phase.RUNNING
            asking.execute(run, step)
        elif step.phase is Phase.DOUBTFUL and step.due_at is not None and step.due_at <= now:
            asking.execute_probe(run, step)
        elif step.undoing is Undoing.WAITING and (step.undo_due_at or 0) <= now and can_undo(run, step):
            step.undoing = Undoing.RUNNING
            asking.execute_undo(run, step, now)


def settle(run: LiveRun, now: int) -> None:
    """Undo what must be undone, and end the run where nothing is left to do."""
    run.window = None
    if not run.history.compensating and not run.park_reason:
        seen, rounds = -1, 0
        while seen != run.history.seq and not run.park_reason:
            rounds += 1
            if rounds > MOST_FIRED:
                raise EndlessTurn(rounds)
            # What the body hears of a savepoint may let it ask for the next one.
            seen = run.history.seq
            _undo_beside(run, now)
            _roll_back(run, now)
            _start_over(run, now)
        # What the body has given up may have been the pivot that a cancel or the deadline waited for.
        turn_round(run, now)
        if run.body is not None and run.body.returned:
            _body_ended(run, run.body, now)
    if run.history.compensating:
        _undo_in_order(run, now)


def leave(run: LiveRun, now: int) -> None:
    """With nothing under way: end, park or release the run where its state asks for it."""
    if run.park_reason:
        _write_parked(run, run.park_reason, now, run.park_needs)
    elif run.history.ended and not run.history.compensating:
        _end_again(run, now)
    elif run.needs is not None:
        _hand_on(run, run.needs, now)
    elif waits := _waits_for_a_person(run):
        _write_parked(run, waits, now)
    elif run.history.compensating:
        _leave_compensating(run, now)
    elif run.body is not None and (not run.body.returned or run.body.loop.unfinished()):
        if run.history.stuck and _body_waits(run):
            _write_parked(run, _stuck(run), now)
        elif wake_at(run) is None and not run.history.active and not waits_for(run):
            _write_parked(
                run,
                "the body waits for something that can never come: no step, timer or message is under way",
                now,
            )
    elif run.history.stuck:
        _write_parked(run, _stuck(run), now)


def _waits_for_a_person(run: LiveRun) -> str:
    """Say why somebody has to see to the run, or to one below it, before it can go on."""
    if any(step.due_at is None for step in run.history.doubts.values()):
        return _in_doubt(run)
    if run.history.blocked:
        return f"{_forward(run)}{children.blocked_reason(run.history.blocked)}"
    return ""


def wake_at(run: LiveRun) -> int | None:
    """Give the moment at which the run has something to do without news, or None."""
    moments = [run.dues[0][0]] if run.dues else []
    if run.window is not None:
        moments.append(run.window)
    if run.body is not None and (timer := run.body.loop.next_due_ms()) is not None:
        moments.append(timer)
    if run.body is not None and (decision := approvals.wake_at(run)) is not None:
        moments.append(decision)
    if run.row.deadline_at is not None and _deadline_counts(run):
        moments.append(run.row.deadline_at)
    return min(moments, default=None)


def waits_for(run: LiveRun) -> str | None:
    """Say, for people, what a run waits for beside the time."""
    awaited = [] if run.body is None else run.body.mailbox.awaited
    asked = [f"approval {record.request.title!r}" for record in run.history.approvals.values()]
    return ", ".join([*asked, *(f"signal {name!r}" for name in awaited)]) or None


def _body_waits(run: LiveRun) -> bool:
    timer = None if run.body is None else run.body.loop.next_due_ms()
    return not run.dues and run.window is None and timer is None


def _deadline_counts(run: LiveRun) -> bool:
    history = run.history
    return not (history.compensating or history.overdue or history.pivots)


def can_undo(run: LiveRun, step: StepRecord) -> bool:
    """Tell whether this process has the recorded compensation; if not, note that the run needs it (S21)."""
    if step.child is not None or HANDLERS.get(step.handler or "") is not None:
        return True
    run.needs = step.handler
    return False


def _undo_beside(run: LiveRun, now: int) -> None:
    """Undo failed and abandoned steps beside the going body (S27)."""
    for step in list(run.history.unsettled.values()):
        if step.window is not None and step.window > now:
            run.window = step.window if run.window is None else min(run.window, step.window)
        elif can_undo(run, step):
            _undo(run, step, "abandoned" if step.abandoned else "failed", now)


def _roll_back(run: LiveRun, now: int) -> None:
    """Undo the savepoints that the body asked for, each in its order, and tell it of those done (S20)."""
    for scope, steps in list(run.history.rolling.items()):
        order = run.orders.setdefault(scope, UndoOrder({step.ref: step for step in steps}))
        ready, window = order.ready(now)
        if window is not None:
            run.window = window if run.window is None else min(run.window, window)
        for step in ready:
            if can_undo(run, step):
                _undo(run, step, "savepoint", now)
        if not any(step.owed or step.moving for step in steps):
            run.orders.pop(scope, None)
            run.tell(Kind.ROLLED_BACK, now, scope, name="savepoint")


def _start_over(run: LiveRun, now: int) -> None:
    """Begin the body anew, once nothing of what it did before is under way or has to be undone."""
    history = run.history
    quiet = not (history.active or history.unsettled or history.stuck or history.rolling or run.reads)
    if run.over is not None and run.body is not None and quiet:
        over, run.over = run.over, None
        stays = {"stays": run.body.stays} if run.body.stays else {}
        letters = run.body.mailbox.left
        meta: dict[str, Any] = stays | ({"kept": True} if over.kept else {})
        if letters:
            meta["letters"] = [letter.seq for letter in letters]
        payload = join_read(over.arguments, over.kept) if over.kept else over.arguments
        run.close()
        entry, _ = run.record(Kind.FLOOR, now, over.ref, meta=meta, payload=payload)
        run.begin(entry, replaying=False, letters=letters)
        run.collect(now)


def _undo_in_order(run: LiveRun, now: int) -> None:
    if run.order is None:
        run.order = UndoOrder(run.history.steps)
    ready, run.window = run.order.ready(now)
    for step in ready:
        if can_undo(run, step):
            _undo(run, step, (run.history.cause or Cause.ERROR).value, now)


def _undo(run: LiveRun, step: StepRecord, cause: str, now: int) -> None:
    run.record(Kind.UNDO, now, step.ref, 1, step.name, {"cause": cause, "handler": step.handler})
    asking.execute_undo(run, step, now)


def _body_ended(run: LiveRun, body: Body, now: int) -> None:
    error = body.error()
    if error is None:
        if (
            body.loop.unfinished()
            or run.history.active
            or run.history.unsettled
            or run.history.stuck
            or run.history.rolling
            or run.reads
        ):
            return
        try:
            result = _encoded(run, body)
        except AmendsError as problem:
            error = problem
        else:
            _end(run, Stored.COMPLETED, now, result)
            return
    if run.history.pivots:
        # A pivot that the body gave up: only its outcome says whether there is a way back.
        return
    if run.history.pivoted:
        if run.history.active or run.history.unsettled:
            return
        run.park(
            f"stuck forward: the run has passed its point of no return, and then failed: {error!r}; "
            "it goes on under code that copes with that",
            mends=True,
        )
        return
    run.switch(Cause.ERROR, now, describe(error).to_json())


def _encoded(run: LiveRun, body: Body) -> bytes:
    what = f"saga {run.row.saga!r}: its result"
    if body.main is None or run.saga is None:
        raise ResultInvalid(f"{what} is gone")
    try:
        result = run.saga.result.checked(body.main.result())
    except ValueError as problem:
        raise ResultInvalid(f"{what} doesn't fit its annotation: {problem}") from problem
    if len(result) > run.limits.max_payload:
        raise too_large(what, len(result), run.limits.max_payload)
    return result


def _leave_compensating(run: LiveRun, now: int) -> None:
    history = run.history
    if history.active or run.window is not None:
        return
    left = owed(history.steps)
    if not left:
        cause = history.cause or Cause.ERROR
        stays = bool(standing(history.steps))
        _end(run, end_of(cause, undone=history.undone, standing=stays), now)
    else:
        _write_parked(run, _stuck(run), now)


def _end(run: LiveRun, status: Stored, now: int, result: bytes | None = None) -> None:
    run.record(Kind.ENDED, now, meta={"status": status.value}, payload=result)
    run.draft.change = _ended(run, status, result, now)
    run.draft.ended = True
    parents.tell_end(run, status, result, now)
    reports.ended(run, status, now, result)


def _end_again(run: LiveRun, now: int) -> None:
    """Put a completed run back where it was: what it was woken for came to nothing."""
    run.draft.change = _ended(run, Stored.COMPLETED, run.row.result, now)
    run.draft.ended = True
    parents.tell_end(run, Stored.COMPLETED, run.row.result, now)


def _ended(run: LiveRun, status: Stored, result: bytes | None, now: int) -> RunChange:
    history = run.history
    return RunChange(
        status,
        history.cause,
        result,
        history.error,
        now,
        release=True,
        undoable=status is Stored.COMPLETED and can_be_undone(history),
    )


def _write_parked(run: LiveRun, reason: str, now: int, needs: str | None = None) -> None:
    names = [f"{step.name} ({step.ref})" for step in owed(run.history.steps)]
    lost = {"lost": True} if run.lost else {}
    run.record(Kind.PARKED, now, meta={"reason": reason, "owed": names, **lost})
    history = run.history
    run.draft.change = RunChange(Stored.PARKED, history.cause, None, history.error, None, None, True, needs)  # noqa: FBT003 - RunChange's release
    run.draft.parked = reason
    parents.tell(run, Said.PARKED, now, {"reason": reason})
    run.draft.start(*reports.parked(run.saga, run.row, history.seq, now, reason, names))
    run.draft.start(*notices.parked(run.notifiers, run.row, history.seq, now, reason, names))


def _hand_on(run: LiveRun, handler: str, now: int) -> None:
    if any(_could_undo(run, other, handler) for other in run.elsewhere):
        run.draft.change = run.state(due_at=now, release=True, needs=handler)
    else:
        _write_parked(
            run, f"compensation {handler!r} is defined in no worker; deploy code that has it", now, handler
        )


def _forward(run: LiveRun) -> str:
    return "stuck forward: " if run.history.pivoted else ""


def _in_doubt(run: LiveRun) -> str:
    doubts = run.history.doubts.values()
    names = ", ".join(f"{step.name!r} ({step.ref})" for step in doubts)
    if all(known is not None and known.parks for known in (STEPS.get(step.name) for step in doubts)):
        why = "; ".join(Failure.from_json(step.error or UNTOLD).message for step in doubts)
        return f"{names} has failed in all its attempts ({why}); have it tried again, or cancel the run"
    return (
        f"{_forward(run)}nobody knows whether {names} landed; look at what the participant holds and say so, "
        "or have it tried again"
    )


def _could_undo(run: LiveRun, worker: Serves, handler: str) -> bool:
    """Tell whether a worker would claim the run for its handler: it serves the saga, or no body is needed."""
    served = run.history.compensating or (run.row.saga, run.row.version) in worker.sagas
    return served and handler in worker.handlers and (worker.only is None or run.row.queue in worker.only)


def _stuck(run: LiveRun) -> str:
    names = ", ".join(f"{step.name!r} ({step.ref})" for step in run.history.stuck.values())
    return f"the compensation of {names} failed for good; what it undoes may still stand"
