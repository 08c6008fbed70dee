"""Whether a played run came to an end that is allowed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from amends.persistence.records import Status
from amends.sagas.compensation import owed, standing
from amends.sagas.history import History
from amends.sagas.outcome import Effect
from amends.sagas.replay import NON_DETERMINISM
from amends.sagas.testing.families import broken_families, settled
from amends.sagas.testing.ledger import Call
from amends.sagas.testing.one_way import denied
from amends.sagas.testing.rules import broken_rules, folded
from amends.sagas.testing.stage import Stage
from amends.sagas.testing.store import StoredRun
from amends.sagas.testing.subject import Subject

PASSING = (Effect.READ, Effect.COMPENSATABLE, Effect.PLAIN)
"""Effects that a run which is undone must not leave behind; the others are declared to stay."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """Which ends are allowed.

    `compare` says whether there is a world to compare. `only` gives the world as it is after nothing but
    some calls: what is declared to stay may stay. `accept` is the test's own word on a world that is
    neither the one of the start nor that of the undisturbed end.
    """

    compare: bool
    start: Any
    end: Any
    only: Callable[[list[Call]], Any]
    accept: Callable[[Any], bool] | None = None
    may_park: bool = False


def allowed_after(
    undisturbed: Stage | None, subject: Subject, *, accept: Callable[[Any], bool] | None, may_park: bool
) -> Allowed:
    """Say what is allowed, given an undisturbed run; one that is undone must have left nothing behind."""
    start = end = None
    if undisturbed is not None:
        run = undisturbed.run
        start = end = undisturbed.before
        if run is not None and run.row.status is Status.COMPLETED:
            end = undisturbed.after
    return Allowed(
        compare=undisturbed is not None,
        start=start,
        end=end,
        only=subject.world_after_only,
        accept=accept,
        may_park=may_park,
    )


def judged(stage: Stage, allowed: Allowed) -> str:
    """Say in words what is wrong with how a run ended; nothing, where nothing is."""
    run, runs = stage.run, stage.store.runs
    if run is None or not all(settled(runs, each) for each in runs.values()):
        why = f" ({'; '.join(stage.loop.trouble)})" if stage.loop.trouble else ""
        return _unsent(runs) or f"the run neither ends nor parks{why}"
    histories = {run_id: folded(each.journal) for run_id, each in runs.items()}
    wrong = next(filter(None, map(_diverged, histories.values())), "") or _broken(stage)
    if wrong:
        return wrong
    untrue = [
        step
        for run_id, each in runs.items()
        for step in denied(histories[run_id], stage.ledger, each.journal)
    ]
    if untrue:
        names = ", ".join(f"{step.name} ({step.ref})" for step in untrue)
        return (
            f"the pivot {names} landed, and the run {run.row.status}: the step, or its probe, has said that "
            "it hadn't (S2). NoEffect, no_effect= and NotLanded() are for what surely isn't in the world"
        )
    if run.row.status is Status.PARKED:
        parked = [each for each in runs.values() if each.row.status is Status.PARKED]
        return next(
            filter(None, (_parked(stage, each, histories[each.row.id], allowed) for each in parked)), ""
        )
    return _world(stage, run, histories, allowed)


def _unsent(runs: Mapping[str, StoredRun]) -> str:
    """Say what runs wait for that nobody sends."""
    found = [run for run in runs.values() if run.row.waits_for is not None and run.row.due_at is None]
    if not found:
        return ""
    told = "; ".join(f"run {run.row.id!r} waits for {run.row.waits_for}" for run in found if not run.settled)
    if not told:
        return ""
    return (
        f"{told}, and nobody sends it: say what is sent with signals=[(name, payload), ...], and who decides "
        "with Decides(by=...) there (a child run can be sent nothing), or let the wait end by timeout="
    )


def _broken(stage: Stage) -> str:
    runs = stage.store.runs
    wrongs = [*stage.wrongs, *broken_families(runs)]
    for run in runs.values():
        where = "" if run.row.parent is None else f"child run {run.row.id}: "
        wrongs += [f"{where}{wrong}" for wrong in broken_rules(run, stage.ledger)]
    return f"a rule of amends itself is broken: {'; '.join(wrongs)}" if wrongs else ""


def _diverged(history: History) -> str:
    if not history.parked or not history.park_reason.startswith(NON_DETERMINISM):
        return ""
    report = history.park_reason.removeprefix(NON_DETERMINISM)
    return (
        f"the body isn't deterministic: replayed, it asks for something else than before. {report}. Clocks, "
        "randomness and whatever can change between two replays belong in a step"
    )


def _parked(stage: Stage, run: StoredRun, history: History, allowed: Allowed) -> str:
    if allowed.may_park:
        return ""
    run_id = run.row.id
    struck = [point.attempt for point, _ in stage.hit if point.attempt is not None and point.undoing]
    injected = {attempt.ref for attempt in struck if attempt.run_id == run_id}
    raised = [_why_stuck(stage, run_id, ref) for ref in history.stuck if ref not in injected]
    if raised:
        return (
            f"the run is parked because a compensation failed for good: {'; '.join(raised)}. "
            "A compensation must succeed when it is called again, and when there is nothing to undo "
            "(may_park=True allows it to give up)"
        )
    names = {step.name for step in history.steps.values()}
    says = bool(owed(history.steps)) or any(name in history.park_reason for name in names)
    # Behind a pivot there is nothing to undo: that a person has to bring it forward is all there is to say.
    says = says or (history.pivoted and "stuck forward" in history.park_reason)
    return "" if says else f"the run is parked, and owes nothing: {history.park_reason or run.row.needs}"


def _why_stuck(stage: Stage, run_id: str, ref: int) -> str:
    calls = [call for call in stage.ledger.calls if (call.attempt.run_id, call.attempt.ref) == (run_id, ref)]
    undo = [call for call in calls if call.attempt.undoing]
    last = undo[-1] if undo else None
    if last is None:
        return f"that of step {ref} was never called"
    landed = any(call.forward and call.outcome == "landed" for call in calls)
    before = any(call.outcome == "landed" for call in undo)
    state = "had been undone already" if before else "had landed" if landed else "had never landed"
    return f"{last.name} raised {last.error or 'nothing, and timed out'} where {last.attempt.name} {state}"


def _world(stage: Stage, run: StoredRun, histories: Mapping[str, History], allowed: Allowed) -> str:
    now = stage.after
    if not allowed.compare or now in (allowed.start, allowed.end):
        return ""
    if allowed.accept is not None and allowed.accept(now):
        return ""
    completed = run.row.status is Status.COMPLETED
    stays = [] if completed else _declared_to_stay(stage, histories.values())
    if stays and now == allowed.only(stays):
        return ""
    ends = "as at the start, nor as at the undisturbed end"
    if stays:
        kept = ", ".join(dict.fromkeys(call.name for call in stays))
        ends += f", nor as after nothing but {kept}, which is declared to stay"
    hint = _hint(stage, histories.values())
    return f"the run {run.row.status}, and the world is neither {ends}. {hint}".rstrip()


def _declared_to_stay(stage: Stage, histories: Iterable[History]) -> list[Call]:
    stands = [step for history in histories for step in standing(history.steps)]
    keys = {step.key for step in stands if step.effect not in PASSING}
    return list({call.key: call for call in stage.ledger.landed() if call.key in keys}.values())


def _hint(stage: Stage, histories: Iterable[History]) -> str:
    """Say what the cause may be, as far as it can be seen from here."""
    run = stage.run
    completed = run is not None and run.row.status is Status.COMPLETED
    hints = []
    plain = [
        step.name
        for history in histories
        for step in history.steps.values()
        if step.effect is Effect.PLAIN
        and stage.ledger.stands(step.key)
        and not (completed and step.landed and step.delivered_seq is not None)
    ]
    if plain:
        hints.append(
            f"{_names(plain)} landed and has no compensation: give it one, or declare it irreversible if it "
            "may stay"
        )
    for undoing, what in ((False, "step"), (True, "compensation")):
        twice = _called_twice(stage, undoing=undoing)
        if twice:
            hints.append(
                f"{_names(twice)} was called more than once with the same idempotency key: "
                f"the {what} must do nothing the second time (current_step().idempotency_key)"
            )
    hints += [
        f"{name} was called where the step had never landed: it must do nothing then, as nobody can know "
        "that it didn't"
        for name in _undone_without_landing(stage)
    ]
    if completed:
        hints.append("if this end is right, as the saga has another way, say so with accept=")
    return f"What may be behind it: {'; '.join(hints)}" if hints else ""


def _called_twice(stage: Stage, *, undoing: bool) -> list[str]:
    seen: dict[str, int] = {}
    names = []
    for call in stage.ledger.calls:
        counts = call.attempt.undoing is undoing and not call.probing
        if call.outcome == "landed" and counts and call.attempt.key:
            seen[call.attempt.key] = seen.get(call.attempt.key, 0) + 1
            if seen[call.attempt.key] == 2:  # noqa: PLR2004 - the second time
                names.append(call.name)
    return names


def _undone_without_landing(stage: Stage) -> list[str]:
    landed = {call.key for call in stage.ledger.landed()}
    return list(
        dict.fromkeys(
            call.name for call in stage.ledger.calls if call.attempt.undoing and call.key not in landed
        )
    )


def _names(names: list[str]) -> str:
    return ", ".join(dict.fromkeys(names))


def cause_of(history: History) -> str:
    """Say what turned a run round, if anything did."""
    return "" if history.cause is None else f", because of {_article(history.cause.value)}"


def _article(cause: str) -> str:
    return f"{'an' if cause[0] in 'aeiou' else 'a'} {cause}"
