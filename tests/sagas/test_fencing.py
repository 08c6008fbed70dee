"""A worker that loses its lease writes nothing more, starts nothing more, and forgets nothing."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

from sqlalchemy import text

from amends.sagas import Coordinator, Retry, Status, Undo, current_step, saga, step
from amends.sagas.journal import Kind
from tests.sagas.running import Gate, ended, kinds, on_a_loop, recorded

SOON = dt.timedelta(seconds=0.3)


def take_away(coordinator: Coordinator, run_id: str) -> None:
    """Do to a live worker what is done to a dead one: another epoch, its run handed on."""
    worker = coordinator._open_parts().worker  # noqa: SLF001 - its name
    prefix = "amends_" if coordinator.engine.dialect.name == "sqlite" else "amends."
    lose = f"UPDATE {prefix}workers SET epoch = epoch + 1, lease_until = 0 WHERE id = :id"  # noqa: S608 - a test's own tables
    hand_on = f"UPDATE {prefix}runs SET owner = NULL, due_at = 0, lost = lost + 1 WHERE id = :id"  # noqa: S608 - as above
    with coordinator.engine.begin() as connection:
        connection.execute(text(lose), {"id": worker})
        connection.execute(text(hand_on), {"id": run_id})


@on_a_loop
async def test_an_outcome_of_a_fenced_worker_reaches_its_run_through_the_inbox(database_url: str) -> None:
    """S5, S18: the journal is the new owner's; the former one's outcome is late, and is never dropped."""
    gates = [Gate(), Gate()]
    calls: list[str] = []

    @step(retry=Retry(attempts=2), timeout=dt.timedelta(seconds=30))
    async def pay() -> int:
        calls.append(current_step().idempotency_key)
        number = len(calls)
        await gates[number - 1].wait()
        return number

    @saga
    async def body() -> int:
        return await pay()

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(body, id="a")
        await gates[0].reached.wait()
        take_away(coordinator, "a")
        await asyncio.wait_for(gates[1].reached.wait(), 30)
        gates[0].opened.set()
        await recorded(run, Kind.LATE)
        gates[1].opened.set()
        assert await run.result(30) == 2
        assert await kinds(run) == [Kind.INTENT, Kind.LOST, Kind.LATE, Kind.LANDED, Kind.ENDED]
    assert len(set(calls)) == 1


@on_a_loop
async def test_a_fenced_worker_that_comes_to_undo_finds_the_run_with_its_new_owner(database_url: str) -> None:
    """S18, S9: nothing is undone twice after a recorded success, whoever held the run before."""
    gate = Gate()
    done: list[Any] = []

    @step
    async def reserve() -> int:
        return 1

    @reserve.compensation(retry=Retry(attempts=1), timeout=SOON)
    async def release(undo: Undo[int]) -> None:
        done.append(undo.key)
        if len(done) == 1:
            gate.reached.set()
            await asyncio.sleep(0.1)

    @saga
    async def body() -> None:
        await reserve()
        raise ValueError

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(body, id="a")
        await gate.reached.wait()
        take_away(coordinator, "a")
        assert await ended(run) is Status.COMPENSATED
        found = await kinds(run)
    assert found.count(Kind.UNDONE) == 1
    assert len(set(done)) == 1
