"""Callers that are cancelled at random awaits: what they asked for is done or not, and nothing is torn."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from pydantic import BaseModel

from amends.sagas import (
    Approval,
    Coordinator,
    Decision,
    DecisionRefused,
    Status,
    approval,
    receive,
    saga,
    step,
)
from tests.sagas.running import LONGEST, on_a_loop

SEED = os.environ.get("AMENDS_SEED", "callers-1")
RUNS = 60
MOST_TURNS = 12
"""So many times the loop goes round, at most, before some callers are cancelled."""
LONGEST_S = 0.004
"""So long the others go on, at most: about as long as a commit takes."""
AT_ONCE = 0.5
TRIES = 3
DONE = Counter[str]()


class Form(BaseModel):
    """What is filled in."""

    note: str


@step(name="callers.note")
async def note(run: str) -> None:
    DONE[run] += 1


@saga(name="callers.run")
async def waiting(run: str) -> str:
    word = await receive(str, name="word")
    decision: Decision[Form] = await approval(Form, title=run, approvers=["ann"])
    await note(run)
    return f"{word} {decision.status}"


class Callers:
    """Makes calls, cancels each after a random while, and makes it again until it comes through."""

    def __init__(self) -> None:
        self._dice = random.Random(SEED)  # noqa: S311 - a test's dice
        self.cancelled = 0

    async def torn(self, call: Coroutine[Any, Any, Any]) -> bool:
        """Make a call that is cancelled; tell whether it was."""
        task = asyncio.create_task(call)
        if self._dice.random() < AT_ONCE:
            for _ in range(self._dice.randrange(MOST_TURNS)):
                await asyncio.sleep(0)
        else:
            await asyncio.sleep(self._dice.random() * LONGEST_S)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            self.cancelled += 1
            return True
        return False

    async def insist(self, call: Callable[..., Coroutine[Any, Any, Any]]) -> None:
        """Make a call again and again, until one isn't cancelled, and the last one whole."""
        for _ in range(TRIES):
            if not await self.torn(call()):
                return
        await call()


async def all_asked(coordinator: Coordinator, count: int) -> list[Approval]:
    """Wait until so many approvals are asked for."""
    while len(found := await coordinator.approvals(limit=2 * count)) < count:  # noqa: ASYNC110 - runs do it
        await asyncio.sleep(0.01)
    return found


@on_a_loop
async def test_what_a_cancelled_caller_asked_for_is_done_once_or_not_at_all(database_url: str) -> None:
    """S17: the same start, message and decision again is the same."""
    DONE.clear()
    callers = Callers()
    names = [f"run-{number}" for number in range(RUNS)]
    async with Coordinator(database_url) as coordinator:
        for name in names:
            await callers.insist(partial(coordinator.start, waiting, name, id=name))
        for name in names:
            await callers.insist(partial(coordinator.signal, name, "word", name, message_id="once"))
        for asked in await all_asked(coordinator, RUNS):
            with contextlib.suppress(DecisionRefused):  # the call that was cancelled had been written
                await callers.insist(
                    partial(coordinator.decide, asked.id, approved=True, by="ann", values={"note": "fine"})
                )
        for name in names:
            run = await coordinator.get(name)
            await callers.insist(run.result)
            assert await run.result(LONGEST) == f"{name} approved"
            assert await run.status() is Status.COMPLETED
    assert Counter(names) == DONE
    assert callers.cancelled > RUNS


@on_a_loop
async def test_a_coordinator_whose_opening_or_closing_is_cancelled_leaves_no_worker(
    database_url: str,
) -> None:
    """Its lease is given back, and another does what is left."""
    callers = Callers()
    DONE.clear()

    async def opened_and_closed() -> None:
        async with Coordinator(database_url) as coordinator:
            await coordinator.start(waiting, "left", id="left")
            await asyncio.sleep(0)

    for _ in range(20):
        await callers.torn(opened_and_closed())
    async with Coordinator(database_url) as coordinator:
        await coordinator.start(waiting, "left", id="left")
        while len(await coordinator.workers()) > 1:  # noqa: ASYNC110 - others are on their way out
            await asyncio.sleep(0.01)
        await coordinator.signal("left", "word", "a")
        (asked,) = await all_asked(coordinator, 1)
        await coordinator.decide(asked.id, approved=True, by="ann", values={"note": "fine"})
        assert await (await coordinator.get("left")).result(LONGEST) == "a approved"
    assert Counter(["left"]) == DONE
