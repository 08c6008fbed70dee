"""What a person does to a run of the kill matrix: acts of an operator, by name."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from amends.sagas import ActionRefused, Coordinator, Run, RunEnded, Status
from amends.sagas.handle import fold
from tests.crash.participant import Participant

PERSON = "kim"


async def person_acts(
    coordinator: Coordinator, run: Run[Any], spec: Mapping[str, Any], *, parked: bool
) -> bool:
    """Do what the case's person does with a run that is parked, or has completed; tell whether there was any.

    Who acts on what another has acted on before is refused, and looks again.
    """
    act = spec.get("act") or ""
    wanted = act in ACTS if parked else act == "undo" and await run.status() == Status.COMPLETED
    if not wanted:
        return False
    with contextlib.suppress(ActionRefused, RunEnded):
        await (ACTS[act] if parked else _undo)(coordinator, run, spec["participant"])
    return True


async def _undo(coordinator: Coordinator, run: Run[Any], _world: Participant) -> None:
    await coordinator.operator(PERSON).undo(run.id)


async def _retry(coordinator: Coordinator, run: Run[Any], _world: Participant) -> None:
    history = fold(await run.journal())
    for ref in history.stuck:
        await coordinator.operator(PERSON).retry(run.id, ref)


async def _skip(coordinator: Coordinator, run: Run[Any], _world: Participant) -> None:
    history = fold(await run.journal())
    for ref in history.stuck:
        await coordinator.operator(PERSON).skip(run.id, ref, reason="it may stay")


async def _resolve(coordinator: Coordinator, run: Run[Any], world: Participant) -> None:
    """Look at the world, and say what is there."""
    history = fold(await run.journal())
    for ref, step in history.doubts.items():
        name = json.loads(step.arguments)["name"]
        landed = name in await world.standing(run.id)
        told = "it is there" if landed else "there is nothing"
        await coordinator.operator(PERSON).resolve(
            run.id, ref, landed=landed, evidence=told, result=name if landed else None
        )


Act = Callable[[Coordinator, Run[Any], Participant], Coroutine[Any, Any, None]]
ACTS: dict[str, Act] = {"retry": _retry, "skip": _skip, "resolve": _resolve}
"""What people do with parked runs."""
