"""Asking for what is to be executed after the commit: intents, and the attempts that follow from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amends.sagas import children, parents
from amends.sagas.commands import Command
from amends.sagas.journal import Kind
from amends.sagas.keys import step_key, undo_key
from amends.sagas.news import Attempt
from amends.sagas.outcome import Effect
from amends.sagas.registry import HANDLERS
from amends.sagas.saga import Saga
from amends.sagas.step import Step
from amends.sagas.step_record import StepRecord

if TYPE_CHECKING:
    from amends.sagas.run import LiveRun


def ask(run: LiveRun, command: Command, now: int) -> None:
    """Have executed what the body asks for: a read at once, anything else with its intent on record."""
    called = command.step
    if isinstance(called, Step) and called.effect is Effect.READ:
        run.reads[command.ref] = command
        _start(run, command.ref, 1, called.name, "", command.arguments, called.timeout_ms)
        return
    step = intend(run, command, now)
    if isinstance(called, Saga):
        children.start(run, step, called, command, now)
    elif step.asks:
        parents.ask_for(run, step, now)
    else:
        execute(run, step)


def intend(run: LiveRun, command: Command, now: int) -> StepRecord:
    """Record the intent of a call: everything that its undoing will need."""
    called = command.step
    meta: dict[str, Any] = {"effect": called.effect.value}
    if isinstance(called, Saga):
        meta |= {"key": children.id_of(run.row.id, command.ref), "timeout": 0, "version": called.version}
    else:
        compensation = called.current_compensation
        key = step_key(run.row.id, run.row.created_at, command.ref)
        meta |= {"key": key, "timeout": called.timeout_ms, "worker": run.worker}
        if compensation is not None:
            meta["handler"] = compensation.handler
        if called.effect is Effect.PIVOT and run.row.parent is not None:
            meta["asks"] = True
    if command.scopes:
        meta["scopes"] = command.scopes
    run.record(Kind.INTENT, now, command.ref, 1, called.name, meta, command.arguments)
    return run.history.steps[command.ref]


def execute(run: LiveRun, step: StepRecord) -> None:
    """Ask for the step's current attempt."""
    _start(
        run,
        step.ref,
        step.attempt,
        step.name,
        step.key,
        step.arguments,
        step.timeout_ms,
        details=step.details,
    )


def execute_probe(run: LiveRun, step: StepRecord) -> None:
    """Ask the step's probe whether its effect is in the world."""
    _start(run, step.ref, step.attempt, step.name, step.key, step.arguments, step.timeout_ms, probing=True)


def execute_undo(run: LiveRun, step: StepRecord, now: int) -> None:
    """Ask for the current attempt of the step's compensation; a child run is told to undo itself."""
    if step.child is not None:
        children.undo(run, step, now)
        return
    handler = HANDLERS.get(step.handler or "")
    timeout = step.timeout_ms if handler is None else handler.timeout_ms
    run.executing.add((step.ref, step.undo_attempt, True))
    run.draft.attempts.append(
        Attempt(
            run.row.id,
            step.ref,
            step.undo_attempt,
            step.name,
            undo_key(step.key),
            step.arguments,
            timeout,
            step.handler,
            step.result if step.landed else None,
            step.outcome,
            step.cause,
            step.key,
            known=run.history.attributes,
        )
    )


def _start(
    run: LiveRun,
    ref: int,
    attempt: int,
    name: str,
    key: str,
    arguments: bytes,
    timeout_ms: int,
    *,
    probing: bool = False,
    details: bytes | None = None,
) -> None:
    run.executing.add((ref, attempt, False))
    run.draft.attempts.append(
        Attempt(
            run.row.id,
            ref,
            attempt,
            name,
            key,
            arguments,
            timeout_ms,
            probing=probing,
            details=details,
            known=run.history.attributes,
            beside=None if run.body is None else run.body.beside.get(ref),
        )
    )
