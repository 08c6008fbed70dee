"""What a child does that works for the agent: it drives its run, and is the person who decides."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import Any

from amends.agents import UndoTo
from amends.sagas import ActionRefused, Approval, Coordinator, Run, RunEnded, RunFailed, RunParked
from tests.crash.agents.travel import LINE, TRIP
from tests.crash.callers import LOOK_S
from tests.crash.plays import ENDED, PARKED, PLAYS, RESULT_S, Spec

PERSON = "kim"


async def work_for_agent(spec: Spec) -> int:
    """Start the agent's run, or go on with it, and decide what it asks, until it has ended."""
    LINE.open(spec["model_url"], spec["api"], spec["run"], spec["participant"].points)
    async with Coordinator(
        spec["url"],
        resources=spec["participant"],
        lease=timedelta(milliseconds=spec["lease_ms"]),
        grace=timedelta(seconds=2),
        poison_after=5,
    ) as coordinator:
        run = await coordinator.start(TRIP, "Book a trip to Oslo.", id=spec["run"])
        deciding = asyncio.create_task(_decide_all(coordinator, run, spec["act"]))
        try:
            await run.result(timeout=RESULT_S)
        except RunParked:
            return PARKED
        except RunFailed:
            return ENDED
        finally:
            deciding.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await deciding
    return ENDED


async def _decide_all(coordinator: Coordinator, run: Run[Any], act: str) -> None:
    """Decide whatever the run asks; who comes after a killed one doesn't know what that one has said."""
    said: set[str] = set()
    while True:
        for asked in await coordinator.approvals():
            if asked.id not in said:
                said.add(asked.id)
                with contextlib.suppress(ActionRefused, RunEnded):
                    await _decide(coordinator, run, asked, act)
        await asyncio.sleep(LOOK_S)


async def _decide(coordinator: Coordinator, run: Run[Any], asked: Approval, act: str) -> None:
    if "result" not in asked.details:
        no = act == "refuse"
        await coordinator.decide(asked.id, approved=not no, by=PERSON, reason="too dear" if no else None)
    elif act == "undo" and "train" not in asked.details["result"]:
        word = UndoTo(1, "take the train")
        await coordinator.signal(run.id, "amends.undo", word, message_id="train")
    else:
        await coordinator.decide(asked.id, approved=act != "reject", by=PERSON, reason="no")


PLAYS["agent"] = work_for_agent
