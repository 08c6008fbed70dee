"""Schedules with many workers at once, and with rows that some code can't read."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from contextlib import AsyncExitStack
from typing import Any

import pytest

from amends.sagas import ActionRefused, Coordinator, InputInvalid, RunInfo, saga, sleep
from amends.sagas.testing import VirtualClock
from tests.sagas.running import on_a_loop

HOUR = dt.timedelta(hours=1)
MINUTE = dt.timedelta(minutes=1)
MANY = {"sqlite": 3, "postgresql": 6}
"""Workers: a SQLite file lets one write at a time, and who waits for it sleeps."""


@saga(name="races.noted")
async def noted(word: str = "x") -> str:
    return word


@saga(name="races.lasts")
async def lasts() -> None:
    await sleep(HOUR * 100)


@pytest.mark.parametrize("overlap", ["allow", "skip", "queue"])
@on_a_loop
async def test_however_many_workers_tick_each_occurrence_starts_one_run(
    database_url: str, overlap: str
) -> None:
    """S17: all of them see that it is due, at the same time; ten schedules, several workers."""
    clock = VirtualClock()
    async with AsyncExitStack() as stack:
        workers = [
            await stack.enter_async_context(Coordinator(database_url, clock=clock))
            for _ in range(MANY[database_url.partition(":")[0]])
        ]
        for number in range(10):
            await workers[0].schedules.put(f"s{number}", noted, every=MINUTE, overlap=overlap)
        for _ in range(3):
            clock.advance(MINUTE)
            await asyncio.gather(*(worker.run_until_idle() for worker in workers))
        runs = await workers[0].list(limit=1_000)
        schedules = await workers[1].schedules.list()
        expected = {clock.now - MINUTE * back for back in range(3)}
        for schedule in schedules:
            assert {run.scheduled_for for run in runs if run.id.startswith(f"{schedule.id}@")} == expected
        assert [(s.started, s.skipped) for s in schedules] == [(3, 0)] * 10
        assert len(runs) == 30


@on_a_loop
async def test_catching_up_is_done_once_and_in_order_by_all_workers_together(database_url: str) -> None:
    """S17: each takes the next one that nobody has taken."""
    clock = VirtualClock()
    async with AsyncExitStack() as stack:
        workers = [
            await stack.enter_async_context(Coordinator(database_url, clock=clock))
            for _ in range(MANY[database_url.partition(":")[0]])
        ]
        await workers[0].schedules.put("a", noted, every=MINUTE, catch_up="all")
        clock.advance(MINUTE * 20)
        await asyncio.gather(*(worker.run_until_idle() for worker in workers))
        runs = await workers[0].list(limit=1_000)
        assert [run.scheduled_for for run in sorted(runs, key=lambda run: run.id, reverse=True)] == [
            clock.now - MINUTE * back for back in range(20)
        ]
        assert (await workers[0].schedules.get("a")).started == 20


@on_a_loop
async def test_people_and_workers_change_a_schedule_at_once_and_nothing_is_lost(database_url: str) -> None:
    """Each change sees the one before it: pauses, resumes, puts and ticks of four coordinators."""
    clock = VirtualClock()
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(Coordinator(database_url, clock=clock)) for _ in range(4)]
        for number in range(8):
            await asyncio.gather(
                *(worker.schedules.put("a", noted, f"{number}", every=MINUTE) for worker in workers)
            )
            clock.advance(MINUTE)
            await asyncio.gather(
                workers[0].schedules.pause("a", by="ann"),
                workers[1].run_until_idle(),
                workers[2].schedules.put("a", noted, f"{number}", every=MINUTE),
                workers[3].run_until_idle(),
            )
            assert (await workers[0].schedules.get("a")).paused
            await asyncio.gather(*(worker.schedules.resume("a", by="bob") for worker in workers))
        schedule = await workers[0].schedules.get("a")
        runs = await workers[0].list(limit=1_000)
        assert len({run.scheduled_for for run in runs}) == len(runs) == schedule.started <= 8
        acts = [line.action for line in await workers[0].schedules.audit("a")]
        assert (acts.count("put"), acts.count("pause"), acts.count("resume")) == (8, 8, 8)


@on_a_loop
async def test_fifty_puts_of_a_new_schedule_make_one(database_url: str) -> None:
    """Idempotent, also from two coordinators at once."""
    async with Coordinator(database_url) as one, Coordinator(database_url, work=False) as other:
        made = await asyncio.gather(
            *((one, other)[number % 2].schedules.put("a", noted, cron="0 9 * * *") for number in range(50))
        )
        assert len({schedule.created_at for schedule in made}) == 1
        assert [line.action for line in await one.schedules.audit("a")] == ["put"]


async def first_run(coordinator: Coordinator) -> RunInfo:
    """Wait for a run, and give it."""
    while True:
        if runs := await coordinator.list(limit=1):
            return runs[0]
        await asyncio.sleep(0.02)


@on_a_loop
async def test_a_worker_notices_a_schedule_that_another_process_puts(database_url: str) -> None:
    """News, not polling: with a real clock, and an occurrence within the next two seconds."""
    async with Coordinator(database_url), Coordinator(database_url, work=False) as web:
        await web.schedules.put("a", noted, every=dt.timedelta(seconds=1))
        run = await first_run(web)
        assert run.scheduled_for is not None
        late = run.created_at - run.scheduled_for
        assert dt.timedelta(0) <= late < dt.timedelta(seconds=4)


BROKEN: list[dict[str, Any]] = [
    {"definition": "{}"},
    {"definition": "no json"},
    {"definition": '{"cron": "0 9 * * *", "every": null, "timezone": "Mars/Olympus"}'},
    {"format": 99},
    {"input": b"\xff not for this codec"},
]


class Sevens:
    """A codec that refuses what it hasn't encoded."""

    def encode(self, data: bytes) -> bytes:
        return b"7" + data

    def decode(self, data: bytes) -> bytes:
        if data[:1] != b"7":
            raise ValueError("the wrong key")
        return data[1:]


@pytest.mark.parametrize("broken", BROKEN, ids=["empty", "no-json", "no-zone", "newer", "undecodable"])
@on_a_loop
async def test_a_schedule_that_can_not_be_read_stops_no_other(
    database_url: str, caplog: pytest.LogCaptureFixture, broken: dict[str, Any]
) -> None:
    """L3: it is left alone, with a line in the log, and shown as broken, until it is put anew."""
    clock = VirtualClock()
    async with Coordinator(database_url, clock=clock, codec=Sevens()) as coordinator:
        schedules = coordinator.schedules
        for name in ("bad", "good"):
            await schedules.put(name, noted, every=HOUR)
        table = coordinator._open_parts().database._backend.tables.schedules  # noqa: SLF001 - to break it
        with coordinator.engine.begin() as connection:
            connection.execute(table.update().where(table.c.id == "bad").values(broken))
        clock.advance(HOUR)
        with caplog.at_level(logging.WARNING, logger="amends"):
            for _ in range(3):
                await coordinator.run_until_idle()
        told = [record.message for record in caplog.records if "'bad'" in record.message]
        assert len(told) == 1
        assert "left alone" in told[0]
        assert [run.id.partition("@")[0] for run in await coordinator.list()] == ["good"]
        bad, good = await schedules.list()
        assert bad.broken
        assert (good.broken, good.started) == (None, 1)
        with pytest.raises(ActionRefused, match="can't be read here"):
            await schedules.trigger("bad")
        with connection_of(coordinator) as connection:
            row = connection.execute(table.select().where(table.c.id == "bad")).one()
        assert {name: getattr(row, name) for name in broken} == broken
        assert (await schedules.put("bad", noted, every=HOUR)).broken is None
        clock.advance(HOUR)
        await coordinator.run_until_idle()
        assert sorted(run.id.partition("@")[0] for run in await coordinator.list()) == ["bad", "good", "good"]


def connection_of(coordinator: Coordinator) -> Any:
    return coordinator.engine.connect()


@on_a_loop
async def test_a_schedule_whose_input_can_not_be_decoded_keeps_it(database_url: str) -> None:
    """Pausing it would write its row anew, without the input: refused; deleting it is not."""
    async with Coordinator(database_url) as plain:
        await plain.schedules.put("a", noted, every=HOUR)
    async with Coordinator(database_url, codec=Sevens()) as coordinator:
        with pytest.raises(ActionRefused, match="wrong key"):
            await coordinator.schedules.pause("a")
    async with Coordinator(database_url) as plain:
        assert (await plain.schedules.get("a")).broken is None
        await plain.schedules.pause("a")
    async with Coordinator(database_url, codec=Sevens()) as coordinator:
        await coordinator.schedules.delete("a")
        with pytest.raises(InputInvalid):
            await coordinator.schedules.delete("b", by="\0")


@on_a_loop
async def test_a_hundred_schedules_due_at_once_are_ticked_in_few_transactions(sqlite_url: str) -> None:
    """They go through the group commit: the number of transactions isn't that of schedules."""
    clock = VirtualClock()
    async with Coordinator(sqlite_url, clock=clock, sagas=[noted]) as coordinator:
        for number in range(100):
            await coordinator.schedules.put(f"s{number}", lasts, cron="0 * * * *")
        workers = coordinator._open_parts().database.workers  # noqa: SLF001 - its batch numbers
        before = workers()[0].batch
        clock.advance(HOUR)
        await coordinator.run_until_idle()
        assert len(await coordinator.list(limit=1_000)) == 100
        assert workers()[0].batch - before < 30
