"""What is claimed while somebody waits for idleness, or goes away, is neither overlooked nor lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from amends.persistence.database import Database
from amends.persistence.writer import Writer
from amends.sagas import Coordinator, Status, current_step, receive, saga, step
from tests.sagas.running import on_a_loop

DONE: list[str] = []


@step(name="idle.notes")
async def notes(what: str) -> str:
    if current_step().resources is not None:
        await current_step().resources.wait()
    DONE.append(what)
    return what


@saga(name="idle.waits")
async def waits() -> str:
    return await notes(await receive(str, name="go"))


@saga(name="idle.one")
async def one() -> str:
    return await notes("once")


@on_a_loop
async def test_a_run_claimed_while_the_next_due_time_is_read_is_driven_too(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L1: due for nobody any more, and not done: `run_until_idle` waits for it."""
    next_due, loop = Database.next_due, asyncio.get_running_loop()
    sent = False

    async def send() -> None:
        async with Coordinator(database_url, work=False) as sender:
            await sender.signal("r", "go", "now")
        while (await run.status()) != Status.RUNNING:  # noqa: ASYNC110 - only the database says so
            await asyncio.sleep(0.001)

    def read(database: Database, *given: Any) -> int | None:
        nonlocal sent
        claims = coordinator._open_parts().scheduler._claims  # noqa: SLF001 - these read it too
        if armed and not sent and claims._task is None:  # noqa: SLF001 - as above
            sent = True
            asyncio.run_coroutine_threadsafe(send(), loop).result(30)
            found = next_due(database, *given)
            loop.call_soon_threadsafe(gate.set)
            return found
        return next_due(database, *given)

    armed, gate = False, asyncio.Event()
    async with Coordinator(database_url, resources=gate) as coordinator:
        run = await coordinator.start(waits, id="r")
        await coordinator.run_until_idle()
        while (await run.status()) != Status.WAITING:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.001)
        monkeypatch.setattr(Database, "next_due", read)
        armed = True
        await coordinator.run_until_idle()
        assert await run.status() == Status.COMPLETED


@on_a_loop
async def test_a_run_claimed_by_a_worker_that_goes_away_is_given_back_and_not_lost(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S26: what was never executed has killed nobody."""
    claim, loop = Writer.claim, asyncio.get_running_loop()
    claimed = asyncio.Event()

    def late(writer: Writer, room: int, serves: Any, done: Callable[[Any], None], queues: Any = ()) -> None:
        """Let the answer come once the worker has begun to close."""

        def answered(answer: Any) -> None:
            claimed.set()
            loop.call_later(0.05, done, answer)

        claim(writer, room, serves, answered, queues)

    async with Coordinator(database_url, work=False) as starter:
        run = await starter.start(one, id="r")
        monkeypatch.setattr(Writer, "claim", late)
        for _ in range(7):
            claimed.clear()
            async with Coordinator(database_url):
                await claimed.wait()
        monkeypatch.undo()
        DONE.clear()
        async with Coordinator(database_url):
            assert await run.result(30) == "once"
    assert DONE == ["once"]
