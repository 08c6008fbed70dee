"""What a child does that works for the agent: it drives its run, and is the person who decides."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from datetime import timedelta
from typing import Any

from amends.agents import UndoTo, floors
from amends.sagas import ActionRefused, Approval, Coordinator, Run, RunEnded, RunFailed, RunParked, Status
from tests.crash.agents.travel import LINE, TRIP
from tests.crash.callers import LOOK_S
from tests.crash.plays import ENDED, PARKED, PLAYS, RESULT_S, Spec

PERSON = "kim"
GIVEN = "Book a trip to Oslo."


async def work_for_agent(spec: Spec) -> int:
    """Start the agent's run, or go on with it, and decide what it asks, until it has ended."""
    async with _coordinator(spec) as coordinator:
        run = await coordinator.start(TRIP, GIVEN, id=spec["run"])
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


async def wait_for_agent(spec: Spec) -> int:
    """Drive the agent's run until it waits for a person and nothing is due, and be killed then."""
    async with _coordinator(spec) as coordinator:
        run = await coordinator.start(TRIP, GIVEN, id=spec["run"])
        await coordinator.run_until_idle()
        assert await run.status() == Status.WAITING
        os.kill(os.getpid(), signal.SIGKILL)
    return ENDED


def _coordinator(spec: Spec) -> Coordinator:
    """Make a coordinator whose time is ahead of the real one by so many milliseconds."""
    # An agent of a handful of turns gets a replay floor, too, where a test says so.
    setattr(floors, "FIRST", spec.get("floor", floors.FIRST))  # noqa: B010 - a constant but here
    LINE.open(spec["model_url"], spec["api"], spec["run"], spec["participant"].points)
    ahead = spec.get("ahead_ms", 0)
    return Coordinator(
        spec["url"],
        resources=spec["participant"],
        lease=timedelta(milliseconds=spec["lease_ms"]),
        grace=timedelta(seconds=2),
        poison_after=5,
        clock=(lambda: time.time_ns() // 1_000_000 + ahead) if ahead else None,
    )


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
PLAYS["waiting agent"] = wait_for_agent
