"""What a run costs in transactions and queries: figures that don't depend on the machine."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event

from amends.sagas import Coordinator, Retry, Undo, saga, sleep, step
from tests.sagas.running import Clock, failure, on_a_loop


class Counted:
    """Every commit, those that wrote a journal or a run, and the loads of journals."""

    def __init__(self) -> None:
        self.commits = 0
        self.writing = 0
        self.loads = 0

    def statement(self, connection: Connection, _cursor: Any, sql: str, *_rest: Any) -> None:
        """Look at a statement."""
        word, about_runs = sql.split(None, 1)[0].upper(), "journal" in sql or "runs" in sql
        if word in ("INSERT", "UPDATE", "WITH") and about_runs and "RETURNING" not in sql:
            connection.info["writes"] = True
        if "INSERT" in sql and about_runs:
            connection.info["writes"] = True
        if "journal" in sql and "INSERT" not in sql:
            self.loads += 1

    def commit(self, connection: Connection) -> None:
        """Count a commit."""
        self.commits += 1
        self.writing += bool(connection.info.pop("writes", False))


@contextmanager
def counted() -> Iterator[Counted]:
    """Count what every engine of this process does."""
    count = Counted()
    event.listen(Engine, "before_cursor_execute", count.statement)
    event.listen(Engine, "commit", count.commit)
    try:
        yield count
    finally:
        event.remove(Engine, "before_cursor_execute", count.statement)
        event.remove(Engine, "commit", count.commit)


@step(name="counts.does")
async def does(number: int) -> int:
    return number


@step(name="counts.looks", effect="read")
async def looks(number: int) -> int:
    return number


@step(name="counts.reserves")
async def reserves(number: int) -> int:
    return number


@reserves.compensation(name="counts.releases")
async def releases(undo: Undo[int], number: int) -> None: ...


@saga(name="counts.steps")
async def steps(count: int) -> int:
    return sum([await does(number) for number in range(count)])


@saga(name="counts.fork")
async def fork(count: int) -> int:
    return sum(await asyncio.gather(*(does(number) for number in range(count))))


@saga(name="counts.reads")
async def reads(count: int) -> int:
    return sum([await looks(number) for number in range(count)])


@saga(name="counts.undone")
async def undone(count: int) -> None:
    await asyncio.gather(*(reserves(number) for number in range(count)))
    raise ValueError


@saga(name="counts.sleeps")
async def sleeps(count: int) -> int:
    for number in range(count):
        await does(number)
    await sleep(dt.timedelta(hours=1))
    return count


@pytest.mark.parametrize(("count", "commits"), [(0, 1), (1, 2), (2, 3), (20, 21)])
@on_a_loop
async def test_a_sequential_step_costs_one_commit(database_url: str, count: int, commits: int) -> None:
    """Section 3: one turn, one transaction: a one-step run costs two commits, each further step one."""
    async with Coordinator(database_url, lease=dt.timedelta(minutes=5)) as coordinator:
        await coordinator.run_until_idle()
        with counted() as spent:
            run = await coordinator.start(steps, count)
            assert await run.result(30) == sum(range(count))
        # On PostgreSQL rows are copied past SQLAlchemy's events, so there a look for due runs counts too.
        spare = 0 if database_url.startswith("sqlite") else 2
        found = spent.commits if spare else spent.writing
        assert commits <= found <= commits + spare


@on_a_loop
async def test_a_fork_costs_less_than_a_commit_a_step(sqlite_url: str) -> None:
    """Section 3: the outcomes that are there when a commit ends go together into the next."""
    async with Coordinator(sqlite_url) as coordinator:
        with counted() as spent:
            run = await coordinator.start(fork, 200)
            assert await run.result(30) == sum(range(200))
        assert spent.writing <= 100


@on_a_loop
async def test_a_chain_of_reads_costs_a_commit_for_hundreds(sqlite_url: str) -> None:
    """Reads ride along: they wait for the next write, bounded in rows and time."""
    async with Coordinator(sqlite_url) as coordinator:
        with counted() as spent:
            run = await coordinator.start(reads, 100)
            assert await run.result(30) == sum(range(100))
        assert spent.writing <= 25


@on_a_loop
async def test_a_thousand_runs_of_five_steps_cost_at_most_five_hundred_commits(sqlite_url: str) -> None:
    """Section 3, Group commit: a thousand busy runs cost a few fsyncs, their starts included."""
    async with Coordinator(sqlite_url) as coordinator:
        with counted() as spent:
            runs = await asyncio.gather(*(coordinator.start(steps, 5) for _ in range(1_000)))
            assert await asyncio.gather(*(run.result(50) for run in runs)) == [10] * 1_000
        assert spent.commits <= 500


@on_a_loop
async def test_siblings_are_undone_together(sqlite_url: str) -> None:
    """S7, J: compensations of siblings go into the same transactions."""
    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(undone, 100)
        with counted() as spent:
            failed = await failure(run)
        assert failed.status == "compensated"
        assert spent.writing <= 100


@on_a_loop
async def test_a_run_is_loaded_with_one_query(database_url: str) -> None:
    """Section 3, Dormancy: loaded with one query when news comes, however long its journal."""
    clock = Clock()
    async with Coordinator(database_url, clock=clock) as coordinator:
        run = await coordinator.start(sleeps, 30)
        await coordinator.run_until_idle()
        clock.move(dt.timedelta(hours=1))
        with counted() as spent:
            await coordinator.run_until_idle()
        assert spent.loads == 1
        assert await run.result(10) == 30


@on_a_loop
async def test_many_runs_that_wake_together_are_loaded_with_one_query(database_url: str) -> None:
    """Section 3: a claim loads what it takes at once."""
    clock = Clock()
    async with Coordinator(database_url, clock=clock) as coordinator:
        runs = await asyncio.gather(*(coordinator.start(sleeps, 1) for _ in range(50)))
        await coordinator.run_until_idle()
        clock.move(dt.timedelta(hours=1))
        with counted() as spent:
            await coordinator.run_until_idle()
        assert spent.loads == 1
        assert await asyncio.gather(*(run.result(10) for run in runs)) == [1] * 50


@on_a_loop
async def test_a_retry_costs_one_commit(sqlite_url: str) -> None:
    """S9: "attempt n failed, n + 1 due at T" is one entry, and the write-ahead of n + 1."""
    calls: list[int] = []

    @step(retry=Retry(attempts=5, wait=dt.timedelta(0)))
    async def flaky() -> int:
        calls.append(1)
        if len(calls) < 5:
            raise ConnectionError
        return len(calls)

    @saga
    async def body() -> int:
        return await flaky()

    async with Coordinator(sqlite_url) as coordinator:
        with counted() as spent:
            assert await (await coordinator.start(body)).result(30) == 5
        assert spent.writing == 2 + 4


@on_a_loop
async def test_sleepers_cost_an_idle_worker_no_statement_each(database_url: str) -> None:
    """Section 3: looking at what is due takes as many statements beside 2,000 sleepers as beside one."""

    async def looks(coordinator: Coordinator) -> int:
        """Count the statements of looking at everything once: runs, schedules, mail, dead workers."""
        parts = coordinator._open_parts()  # noqa: SLF001 - what its timers do
        await coordinator.run_until_idle()
        seen: list[str] = []

        def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            seen.append(statement)

        event.listen(Engine, "before_cursor_execute", note)
        try:
            for _ in range(3):
                parts.scheduler.news()
                await parts.scheduler._look_after_dead()  # noqa: SLF001 - as every few seconds
                await coordinator.run_until_idle()
        finally:
            event.remove(Engine, "before_cursor_execute", note)
        return len(seen)

    clock = Clock()
    async with Coordinator(database_url, clock=clock) as coordinator:
        await coordinator.start(sleeps, 0)
        before = await looks(coordinator)
        await asyncio.gather(*(coordinator.start(sleeps, 0) for _ in range(2_000)))
        after = await looks(coordinator)
        # A look more or less, by chance; one for each sleeper would be thousands.
        assert after <= before + 20
        assert coordinator._open_parts().driver.holding == 0  # noqa: SLF001 - nothing of them is in memory
