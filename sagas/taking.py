"""Taking news: what comes in becomes entries, one at a time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from amends.persistence.records import AuditRow, Cause, InboxRow
from amends.sagas import approvals, asking, children, noting, operating, parents
from amends.sagas.attempts import ASKING, doubted, judge, judge_probe, judge_undo, late_meta
from amends.sagas.commands import Command
from amends.sagas.errors import WorkerLost
from amends.sagas.failure import describe
from amends.sagas.journal import OPERATOR, WAKE, Kind, join_read
from amends.sagas.news import Attempted, Beat, News, Noted
from amends.sagas.outcome import Effect, OnUnknown, Outcome
from amends.sagas.registry import HANDLERS, STEPS
from amends.sagas.step import Step
from amends.sagas.step_record import MOVING, Phase, StepRecord

if TYPE_CHECKING:
    from amends.sagas.run import LiveRun


def take(run: LiveRun, item: News, now: int) -> None:
    """Take one piece of news into the journal, and tell the body where it waits for it."""
    if isinstance(item, InboxRow):
        _take_mail(run, item, now)
        return
    if isinstance(item, Beat):
        _take_beat(run, item.ref, item.attempt, item.details, now)
        return
    noting.take(run, item, now)
    if isinstance(item, Noted):
        return
    run.executing.discard((item.ref, item.attempt, item.undoing))
    command = run.reads.pop(item.ref, None)
    if command is not None:
        _take_read(run, command, item, now)
        return
    step = run.history.steps.get(item.ref)
    if step is None:
        return
    if run.lost:
        run.lost, run.draft.progressed = False, True
    if item.undoing:
        _take_undone(run, step, item, now)
    else:
        _take_outcome(run, step, item, now)


def lose(run: LiveRun, step: StepRecord, now: int, *, drained: bool) -> None:
    """Record that an attempt was lost with its worker: it may still land until its window ends (S2, S6)."""
    definition = STEPS.get(step.name)
    going = not (run.history.compensating or step.abandoned) and definition is not None
    policy = _on_unknown(step)
    window = now + step.timeout_ms
    if definition is not None and definition.given is not None:
        # A transaction that is lost can't land once its compensation, or another attempt, has taken its key.
        window = now
    meta: dict[str, Any] = {"window": window} | ({"drained": True} if drained else {})
    if going and policy is OnUnknown.RETRY:
        # Recorded, not told: nothing is delivered, and a run that turns round now must not start the attempt.
        run.record(Kind.LOST, now, step.ref, step.attempt, step.name, meta)
        if not drained:
            asking.execute(run, step)
        return
    meta["outcome"] = Outcome.UNKNOWN.value
    doubt = step.effect is Effect.PIVOT or (going and policy in ASKING)
    meta |= {"doubt": True, **doubted(definition, window)} if doubt else {"final": True}
    error = WorkerLost(
        f"attempt {step.attempt} of step {step.name!r} was lost with its worker; "
        "nobody knows whether it landed"
    )
    run.tell(Kind.LOST, now, step.ref, step.attempt, step.name, meta, describe(error).to_json())
    if "due" in meta:
        run.wait_until(meta["due"], step.ref)


def _on_unknown(step: StepRecord) -> OnUnknown:
    definition = STEPS.get(step.name)
    if step.effect is Effect.READ or definition is None:
        return OnUnknown.RETRY
    return definition.options.on_unknown


def _take_outcome(run: LiveRun, step: StepRecord, item: Attempted, now: int) -> None:
    if item.probing and step.phase is not Phase.DOUBTFUL:
        return
    if not step.moving or item.attempt != step.attempt:
        _take_late(run, step, item, now)
        return
    if item.details is not None:
        _take_beat(run, step.ref, item.attempt, item.details, now)
    definition, seed = STEPS.get(step.name), f"{run.row.id}/{step.ref}"
    again = not (run.history.compensating or step.abandoned)
    if item.probing:
        verdict = judge_probe(step, item, definition, again=again, seed=seed)
    else:
        verdict = judge(step, item, definition, again=again, seed=seed, pivoted=run.history.pivoted)
    run.tell(verdict.kind, now, step.ref, item.attempt, step.name, verdict.meta, verdict.payload)
    if step.phase in (Phase.WAITING, Phase.DOUBTFUL) and "due" in verdict.meta:
        run.wait_until(verdict.meta["due"], step.ref)


def _take_beat(run: LiveRun, ref: int, attempt: int, details: bytes, now: int) -> None:
    step = run.history.steps.get(ref)
    if step is not None and step.moving and step.attempt == attempt:
        run.record(Kind.BEAT, now, ref, attempt, step.name, payload=details)


def _take_undone(run: LiveRun, step: StepRecord, item: Attempted, now: int) -> None:
    if step.undoing not in MOVING or item.attempt != step.undo_attempt:
        return
    handler = HANDLERS.get(step.handler or "")
    verdict = judge_undo(
        step, item, None if handler is None else handler.retry, seed=f"{run.row.id}/{step.ref}/undo"
    )
    run.tell(verdict.kind, now, step.ref, item.attempt, step.name, verdict.meta, verdict.payload)
    if verdict.kind is Kind.UNDO_RETRY:
        run.wait_until(verdict.meta["due"], step.ref)


def _take_read(run: LiveRun, command: Command, item: Attempted, now: int) -> None:
    name = command.step.name
    record = StepRecord(command.ref, name, Effect.READ, "", None, command.arguments, 0, item.started_at, 0)
    definition = command.step if isinstance(command.step, Step) else None
    verdict = judge(record, item, definition, again=True, seed=f"{run.row.id}/{item.ref}")
    if verdict.kind is Kind.RETRY:
        asking.intend(run, command, now)
        run.tell(verdict.kind, now, item.ref, item.attempt, name, verdict.meta, verdict.payload)
        run.wait_until(verdict.meta["due"], item.ref)
        return
    payload = join_read(command.arguments, verdict.payload or b"null")
    meta = {**verdict.meta, "read": True}
    run.tell(verdict.kind, now, item.ref, item.attempt, name, meta, payload)


def _take_mail(run: LiveRun, row: InboxRow, now: int) -> None:
    run.draft.taken.append(row.number)
    run.mail = max(run.mail, row.number)
    meta = json.loads(row.meta) if row.meta else {}
    if row.kind == Kind.CANCEL:
        operating.turn_round(run, now, Cause.CANCEL, meta)
    elif row.kind == OPERATOR:
        operating.take(run, row, now)
    elif row.kind == WAKE:
        _take_wake(run, meta, now)
    elif row.kind == Kind.CHILD:
        children.take(run, row, meta, now)
    elif row.kind == Kind.SIGNAL:
        since = None if run.body is None else run.body.mailbox.since(meta["name"])
        told = {"id": meta["id"]} | ({"from": meta["from"]} if "from" in meta else {})
        told |= {} if since is None else {"since": since}
        run.tell(Kind.SIGNAL, now, name=meta["name"], meta=told, payload=row.payload)
    elif row.kind == Kind.DECIDED:
        approvals.take(run, row, meta, now)
    elif row.kind == Kind.GRANTED:
        _take_grant(run, meta["path"], now)
    else:
        step = run.history.steps.get(meta["ref"])
        if step is not None and _resolves(step, meta):
            _take_resolution(run, step, meta, row.payload, now)
            return
        found = late_meta(
            step,
            undoing=meta["undoing"],
            outcome=meta["outcome"],
            started=meta["started"],
            ended=meta["ended"],
        )
        if meta.get("result_lost"):
            found["result_lost"] = True
        _record_late(run, step, meta["ref"], meta["attempt"], found, row.payload, now)


def _take_wake(run: LiveRun, meta: dict[str, Any], now: int) -> None:
    """End the sleeping of a body, as if the time were over."""
    sleeping = [] if run.body is None else run.body.loop.sleeping()
    for number in sleeping:
        if run.body is not None and number in run.body.loop.sleeping():
            since = run.body.loop.since(number)
            run.tell(Kind.FIRED, now, number, meta={"since": since, "by": meta["by"]})


def _take_grant(run: LiveRun, path: list[int], now: int) -> None:
    """Take the word of the runs above that a pivot may be executed, of this run or of one below."""
    if len(path) > 1:
        children.pass_on(run, path, now)
        return
    step = run.history.steps[path[0]]
    if parents.take_grant(run, step, now):
        asking.execute(run, step)


def _resolves(step: StepRecord, meta: dict[str, Any]) -> bool:
    """Tell whether a late outcome says what a probe or a person would otherwise have to say."""
    forward = not meta["undoing"] and meta["outcome"] == Outcome.LANDED
    return forward and step.phase is Phase.DOUBTFUL


def _take_resolution(
    run: LiveRun, step: StepRecord, meta: dict[str, Any], payload: bytes | None, now: int
) -> None:
    told = {"started": meta["started"], "late": True}
    kind = Kind.LANDED
    if meta.get("result_lost"):
        kind, told = Kind.FAILED, {**told, "outcome": Outcome.LANDED.value, "resolved": True}
    run.tell(kind, now, step.ref, meta["attempt"], step.name, told, payload)


def _take_late(run: LiveRun, step: StepRecord, item: Attempted, now: int) -> None:
    found = late_meta(
        step, undoing=False, outcome=item.outcome.value, started=item.started_at, ended=item.ended_at
    )
    if item.outcome is Outcome.LANDED and item.error is not None:
        found["result_lost"] = True
    _record_late(run, step, item.ref, item.attempt, found, item.result or item.error, now)


def _record_late(
    run: LiveRun,
    step: StepRecord | None,
    ref: int,
    attempt: int,
    meta: dict[str, Any],
    payload: bytes | None,
    now: int,
) -> None:
    """Record an outcome that came late: it may confirm what is owed, it never advances the run (S5)."""
    run.record(Kind.LATE, now, ref, attempt, step.name if step else None, meta, payload)
    run.order = None
    run.orders.clear()
    run.draft.audit.append(
        AuditRow(run.row.id, now, run.worker, "late outcome", json.dumps({"ref": ref, **meta}))
    )
    if meta.get("after_undo") and step is not None:
        run.park(
            f"step {step.name!r} ({ref}) landed after it had been undone, so its effect may stand; look at "
            "what the participant holds"
        )
