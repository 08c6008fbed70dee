"""What undoing a completed run would do, said beforehand: in which order, what stays, and why not at all."""

from __future__ import annotations

import sys
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from amends.sagas.compensation import UndoOrder, standing
from amends.sagas.handle import Standing
from amends.sagas.history import History
from amends.sagas.operating import Act, Action, objection
from amends.sagas.outcome import Outcome
from amends.sagas.step_record import StepRecord, Undoing

NOTHING: Final[Mapping[str, UndoPlan]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class PlannedUndo:
    """One compensation that would be run: of which step, and what is known of its effect.

    For a child run, `step` is its saga, `handler` is empty and `plan` says what would be undone in it.
    """

    step: str
    ref: int
    handler: str
    outcome: Outcome
    plan: UndoPlan | None = None


@dataclass(frozen=True, slots=True)
class UndoPlan:
    """What `undo` would do to a run.

    `steps` are groups of compensations: those of one group may run side by side, and a group begins at the
    latest when the one before it is done. `stays` are the effects that stay in the world. `refused` says
    why the run can't be undone; then there are no `steps`. `missing` names the compensations that aren't
    defined in this process: a worker that has them is needed, or the run will be parked.
    `parked` says why a child run needs a person before it can be undone.
    """

    run_id: str
    steps: tuple[tuple[PlannedUndo, ...], ...]
    stays: tuple[Standing, ...]
    refused: str | None = None
    missing: tuple[str, ...] = ()
    parked: str = ""

    def __str__(self) -> str:
        return "\n".join(_told(self))


def undo_plan(
    run_id: str,
    history: History,
    defined: Container[str],
    below: Mapping[str, UndoPlan] = NOTHING,
    *,
    with_parent: bool = False,
) -> UndoPlan:
    """Plan the undoing of a run.

    `defined` are the compensations, as `name@version`, of this process, `below` the plans of its child runs.
    A run that is undone `with_parent` may be undone already, in part or whole: what is left is planned.
    """
    refused = None if with_parent else objection(history, Action(Act.UNDO, ""))
    groups = () if refused is not None else tuple(_groups(history, below))
    undone = {planned.ref for group in groups for planned in group}
    stays = [step for step in standing(history.steps) if step.ref not in undone]
    handlers = dict.fromkeys(name for group in groups for planned in group for name in _handlers(planned))
    return UndoPlan(
        run_id,
        groups,
        tuple(Standing(step.name, step.ref, step.effect, step.outcome) for step in stays),
        refused,
        tuple(handler for handler in handlers if handler not in defined),
        history.park_reason if with_parent and history.parked else "",
    )


def _handlers(planned: PlannedUndo) -> Iterator[str]:
    if planned.plan is None:
        yield planned.handler
    else:
        for group in planned.plan.steps:
            for each in group:
                yield from _handlers(each)


def _groups(history: History, below: Mapping[str, UndoPlan]) -> Iterator[tuple[PlannedUndo, ...]]:
    """Play the undoing through on copies: whatever may start together is one group (S7)."""
    steps = {ref: replace(step) for ref, step in history.steps.items()}
    order = UndoOrder(steps)
    while ready := order.ready(sys.maxsize)[0]:
        yield tuple(_planned(step, below) for step in ready)
        for step in ready:
            step.undoing = Undoing.DONE


def _planned(step: StepRecord, below: Mapping[str, UndoPlan]) -> PlannedUndo:
    plan = below.get(step.key) if step.child is not None else None
    return PlannedUndo(step.name, step.ref, step.handler or "", step.outcome, plan)


def _told(plan: UndoPlan) -> Iterator[str]:
    if plan.refused is not None:
        yield f"run {plan.run_id!r} can't be undone: {plan.refused}"
    elif plan.steps:
        yield f"run {plan.run_id!r} would be undone in this order:"
    else:
        yield f"run {plan.run_id!r}: nothing is left to undo"
    if plan.parked:
        yield f"it is parked, see to that first: {plan.parked}"
    for number, group in enumerate(plan.steps, 1):
        beside = "" if len(group) == 1 else ", side by side"
        yield f"{number}. {'; '.join(_line(planned) for planned in group)}{beside}"
        for planned in group:
            if planned.plan is not None:
                # What isn't defined here is said once, at the end.
                yield from (f"   {line}" for line in _told(replace(planned.plan, missing=())))
    for effect in plan.stays:
        doubt = "" if effect.outcome is Outcome.LANDED else ", nobody knows whether it landed"
        yield f"stays: {effect.step} ({effect.ref}), {effect.effect}{doubt}"
    for handler in plan.missing:
        yield f"not defined here: {handler}"


def _line(planned: PlannedUndo) -> str:
    if planned.plan is not None:
        return f"{planned.step} ({planned.ref}), child run {planned.plan.run_id}"
    doubt = "" if planned.outcome is Outcome.LANDED else ", which may have landed"
    return f"{planned.step} ({planned.ref}){doubt} by {planned.handler}"
