"""Deadlines: they compensate, need nobody who holds the run, and don't touch what is being undone."""

from __future__ import annotations

import datetime as dt

from amends.sagas import Coordinator, Retry, Undo, saga, sleep, step
from tests.sagas.running import Clock, failure, on_a_loop


@on_a_loop
async def test_a_deadline_compensates(database_url: str) -> None:
    """Section 2, L4: `@saga(deadline=...)` counts from the start, and needs nobody who holds the run."""
    clock = Clock()
    done: list[str] = []

    @step
    async def pay() -> None:
        done.append("pay")

    @pay.compensation
    async def refund(undo: Undo[None]) -> None:
        done.append(f"refund {undo.cause}")

    @saga(deadline=dt.timedelta(hours=2))
    async def body() -> None:
        await pay()
        await sleep(dt.timedelta(days=1))
        done.append("too far")

    async with Coordinator(database_url, clock=clock) as coordinator:
        run = await coordinator.start(body, id="a")
        due = await coordinator.run_until_idle()
        assert due == dt.datetime.fromtimestamp(clock.now / 1000, dt.UTC) + dt.timedelta(hours=2)
    clock.move(dt.timedelta(hours=3))
    async with Coordinator(database_url, clock=clock) as coordinator:
        await coordinator.run_until_idle()
        run = await coordinator.get("a")
        failed = await failure(run)
    assert (failed.status, failed.cause) == ("compensated", "deadline")
    assert done == ["pay", "refund deadline"]


@on_a_loop
async def test_compensating_is_not_subject_to_the_deadline(sqlite_url: str) -> None:
    """S11: shielded: however long undoing takes, no deadline ends it."""
    clock = Clock()
    count = 0

    @step
    async def pay() -> None: ...

    @pay.compensation(retry=Retry(attempts=5, wait=dt.timedelta(hours=5)))
    async def refund(undo: Undo[None]) -> None:
        nonlocal count
        count += 1
        if count < 4:
            raise ConnectionError

    @saga(deadline=dt.timedelta(hours=1))
    async def body() -> None:
        await pay()
        raise ValueError("why")

    async with Coordinator(sqlite_url, clock=clock) as coordinator:
        run = await coordinator.start(body)
        for _ in range(4):
            await coordinator.run_until_idle()
            clock.move(dt.timedelta(hours=5))
        await coordinator.run_until_idle()
        failed = await failure(run)
    assert (failed.status, failed.cause, count) == ("compensated", "error", 4)
