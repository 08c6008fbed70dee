"""What was read is kept in memory when the turn that holds it loses to mail."""

from __future__ import annotations

import asyncio

from amends.sagas import Coordinator, approval, current_step, saga, step
from tests.sagas.running import on_a_loop

READ: list[int] = []
CHAIN = 3


@step(name="beaten.reads", effect="read")
async def reads(number: int) -> int:
    """Look at something; the last time, when it is told to."""
    READ.append(number)
    if number == CHAIN - 1:
        await current_step().resources.wait()
    return number


@step(name="beaten.does")
async def does(number: int) -> int:
    return number


@saga(name="beaten.asks")
async def asks() -> int:
    async def looks() -> int:
        return sum([await reads(number) for number in range(CHAIN)])

    looking = asyncio.create_task(looks())
    decision = await approval(None, title="go on?")
    return await does(int(decision.approved)) + await looking


@on_a_loop
async def test_what_was_read_isnt_read_again_where_its_turn_loses_to_mail(database_url: str) -> None:
    """Section 3: the loser of a turn is loaded again, with the outcomes that it knew, those of reads too."""
    READ.clear()
    go_on = asyncio.Event()
    async with (
        Coordinator(database_url, resources=go_on) as coordinator,
        Coordinator(database_url, work=False) as another,
    ):
        run = await coordinator.start(asks)
        while len(READ) < CHAIN or not await another.approvals():  # noqa: ASYNC110 - the database says so
            await asyncio.sleep(0.001)
        (asked,) = await another.approvals()
        # The worker doesn't know of it yet when the last read comes to its end.
        await another.decide(asked.id, approved=True, by="kim")
        go_on.set()
        assert await run.result(30) == 1 + sum(range(CHAIN))
    assert [*range(CHAIN)] == READ
