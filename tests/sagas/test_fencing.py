"""A worker that loses its lease writes nothing more, starts nothing more, and forgets nothing."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from typing import Any

from sqlalchemy import text

from amends.sagas import Coordinator, Retry, Status, Undo, current_step, saga, sleep, step
from amends.sagas.executor import Executor, Settings
from amends.sagas.journal import Kind
from amends.sagas.news import Attempt
from tests.sagas.running import Clock, Gate, ended, kinds, on_a_loop, recorded

SOON = dt.timedelta(seconds=0.3)


def take_away(coordinator: Coordinator, run_id: str, to: str | None = None) -> None:
    """Do to a live worker what is done to a dead one: another epoch, its run handed on (`to` somebody)."""
    worker = coordinator._open_parts().worker  # noqa: SLF001 - its name
    prefix = "amends_" if coordinator.engine.dialect.name == "sqlite" else "amends."
    lose = f"UPDATE {prefix}workers SET epoch = epoch + 1, lease_until = 0 WHERE id = :id"  # noqa: S608 - a test's own tables
    hand_on = f"UPDATE {prefix}runs SET owner = :to, due_at = 0, lost = lost + 1 WHERE id = :id"  # noqa: S608 - as above
    with coordinator.engine.begin() as connection:
        connection.execute(text(lose), {"id": worker})
        connection.execute(text(hand_on), {"id": run_id, "to": to})


def bequeath(coordinator: Coordinator, run_id: str) -> None:
    """Leave a run with a worker that is long dead, and of whom nobody has heard."""
    prefix = "amends_" if coordinator.engine.dialect.name == "sqlite" else "amends."
    rest = "host, pid, process, started_at, serves"
    die = (
        f"INSERT INTO {prefix}workers (id, epoch, batch, lease_until, {rest})"  # noqa: S608 - a test's own tables
        f" SELECT 'dead', 1, 1, 0, {rest} FROM {prefix}workers"
    )
    hold = f"UPDATE {prefix}runs SET owner = 'dead' WHERE id = :id"  # noqa: S608 - as above
    with coordinator.engine.begin() as connection:
        connection.execute(text(die))
        connection.execute(text(hold), {"id": run_id})


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
async def test_an_outcome_that_comes_when_the_run_has_gone_is_not_dropped(database_url: str) -> None:
    """S5: the worker knows by then that the run is another's; that one finds the outcome in the inbox."""
    gates = [Gate(), Gate()]
    calls: list[str] = []

    @step(retry=Retry(attempts=2), timeout=dt.timedelta(seconds=30))
    async def pay() -> int:
        calls.append(current_step().idempotency_key)
        number = len(calls)
        await gates[number - 1].wait()
        return number

    @step
    async def count() -> int:
        return 1

    @saga
    async def body() -> int:
        return await pay()

    @saga
    async def other() -> int:
        return await count()

    async with Coordinator(database_url) as coordinator:
        async with Coordinator(database_url, sagas=[]) as heir:
            run = await coordinator.start(body, id="a")
            await gates[0].reached.wait()
            take_away(coordinator, "a", heir.worker)
            assert await (await coordinator.start(other)).result(30) == 1
            assert not coordinator._open_parts().driver.holds("a")  # noqa: SLF001 - it has learnt of its loss
            gates[0].opened.set()
            assert await (await coordinator.start(other)).result(30) == 1
        await gates[1].reached.wait()
        gates[1].opened.set()
        assert await run.result(30) == 2
        assert await kinds(run) == [Kind.INTENT, Kind.LOST, Kind.LATE, Kind.LANDED, Kind.ENDED]


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


@on_a_loop
async def test_a_worker_that_dies_is_missed_by_one_that_works_already(database_url: str) -> None:
    """L1: nobody has to come, and nothing to be sent, for its runs to go on."""
    clock = Clock()

    @saga
    async def body() -> str:
        await sleep(dt.timedelta(hours=1))
        return "slept"

    async with Coordinator(database_url, clock=clock, lease=dt.timedelta(seconds=1)) as coordinator:
        run = await coordinator.start(body, id="a")
        await coordinator.run_until_idle()
        bequeath(coordinator, "a")
        clock.move(dt.timedelta(hours=2))
        with contextlib.suppress(TimeoutError):
            await run.result(10)
        assert await run.status() is Status.COMPLETED


@on_a_loop
async def test_nothing_starts_while_the_lease_may_be_over() -> None:
    """S18: a worker that hears nothing of its lease leaves the world alone until it does."""
    good = [False]
    called, told = asyncio.Event(), asyncio.Event()

    @step(name="fencing.touches")
    async def touches() -> None:
        called.set()

    executor = Executor(
        Settings(None, 8, 1, 1 << 20),
        now=Clock(),
        lease_good=lambda: good[0],
        report=lambda _run_id, _item: told.set(),
    )
    executor.start(Attempt("a", 1, 1, "fencing.touches", "key", b"{}", 60_000))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not called.is_set()
    good[0] = True
    await told.wait()
    assert called.is_set()
    await executor.drain(0)
