"""What a run costs in commits, queries and bytes: figures that don't depend on the machine."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event

from amends.persistence.store import Store
from amends.sagas import Coordinator, Status, saga, sleep, step


class Counts:
    """Commits of batches that wrote something, and queries that read journals."""

    def __init__(self) -> None:
        self.commits = 0
        self.loads = 0
        self._writing: set[int] = set()

    def writes(self, connection: Connection) -> None:
        self._writing.add(id(connection))

    def executed(self, _connection: Connection, _cursor: Any, statement: str, *_rest: Any) -> None:
        text = statement.lower().lstrip("( ")
        self.loads += text.startswith("select") and "journal" in text

    def committed(self, connection: Connection) -> None:
        if id(connection) in self._writing:
            self._writing.discard(id(connection))
            self.commits += 1


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counts]:
    """Count what all engines of this process do; heartbeats, which write nothing of a run, don't count."""
    found = Counts()
    write = Store.write

    def counted(store: Store, connection: Connection, *given: Any, **options: Any) -> Any:
        found.writes(connection)
        return write(store, connection, *given, **options)

    monkeypatch.setattr(Store, "write", counted)
    event.listen(Engine, "before_cursor_execute", found.executed)
    event.listen(Engine, "commit", found.committed)
    yield found
    event.remove(Engine, "before_cursor_execute", found.executed)
    event.remove(Engine, "commit", found.committed)


@step
async def one_more(number: int) -> int:
    return number + 1


@step(effect="read")
async def look_up(number: int) -> int:
    return number + 1


@saga
async def chain(length: int) -> int:
    number = 0
    for _ in range(length):
        number = await one_more(number)
    return number


@saga
async def chain_of_reads(length: int) -> int:
    number = 0
    for _ in range(length):
        number = await look_up(number)
    return number


@saga
async def rest(number: int) -> int:
    first = await one_more(number)
    await sleep(dt.timedelta(days=3))
    return await one_more(first)


@pytest.mark.parametrize("length", [1, 40])
def test_a_sequential_step_costs_one_commit(database_url: str, length: int, counts: Counts) -> None:
    """The start carries the first intent, each outcome the next one, the last one the end (§3)."""

    async def play() -> int:
        async with Coordinator(database_url) as coordinator:
            run = await coordinator.start(chain, length)
            assert await run.result() == length
            return counts.commits

    assert asyncio.run(play()) == length + 1


def test_a_chain_of_reads_waits_for_no_commit(database_url: str, counts: Counts) -> None:
    """Outcomes of reads ride along with the next durable write, in bounded numbers (S1's exception)."""

    async def play() -> int:
        async with Coordinator(database_url) as coordinator:
            run = await coordinator.start(chain_of_reads, 400)
            assert await run.result() == 400
            return counts.commits

    assert asyncio.run(play()) < 40


def test_a_sleeping_run_costs_one_commit_a_row_and_no_memory(
    sqlite_url: str, tmp_path: Path, counts: Counts
) -> None:
    """A run that only waits is a row of less than a kilobyte; the worker holds nothing of it."""
    sleepers = 1_000

    @saga(name="sleep at once")
    async def sleep_at_once(number: int) -> int:
        await sleep(dt.timedelta(days=3))
        return number

    async def play() -> None:
        async with Coordinator(sqlite_url) as coordinator:
            await coordinator.start(sleep_at_once, -1)
            before = (tmp_path / "amends.db").stat().st_size
            await asyncio.gather(*(coordinator.start(sleep_at_once, n) for n in range(sleepers)))
            assert counts.commits < sleepers / 2
            # What is held is nobody's business but a test's.
            assert coordinator._open_parts().driver.holding == 0  # noqa: SLF001
            with coordinator.engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        assert ((tmp_path / "amends.db").stat().st_size - before) / sleepers < 1024

    asyncio.run(play())


def test_a_run_is_loaded_with_one_query(database_url: str, counts: Counts) -> None:
    """A dormant run comes back with its journal and its mail in one look at the database."""
    moment = [1_900_000_000_000]

    async def play() -> None:
        async with Coordinator(database_url, clock=lambda: moment[0]) as coordinator:
            run = await coordinator.start(rest, 0)
            await coordinator.run_until_idle()
            assert await run.status() is Status.WAITING
            moment[0] += round(dt.timedelta(days=3) / dt.timedelta(milliseconds=1))
            counts.loads = 0
            await coordinator.run_until_idle()
            assert await run.status() is Status.COMPLETED
            assert counts.loads == 1

    asyncio.run(play())


def test_a_thousand_busy_runs_share_their_commits(sqlite_url: str, counts: Counts) -> None:
    """Group commit: 1,000 runs of five steps, starts included, in at most 500 commits."""

    async def one(coordinator: Coordinator, number: int) -> int:
        run = await coordinator.start(chain, 5, id=f"busy-{number}")
        return await run.result()

    async def play() -> int:
        async with Coordinator(sqlite_url) as coordinator:
            results = await asyncio.gather(*(one(coordinator, number) for number in range(1_000)))
            assert results == [5] * 1_000
            return counts.commits

    assert asyncio.run(play()) <= 500
