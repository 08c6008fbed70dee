"""Handlers of a run's end: recorded with it, called at least once, with what became of the run."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from amends.persistence.tables import tables_in
from amends.sagas import (
    Coordinator,
    DefinitionError,
    Report,
    Status,
    Undo,
    current_step,
    receive,
    saga,
    step,
)
from amends.sagas.handle import Run
from amends.sagas.saga import Saga
from tests.sagas.handling_child import POINTS
from tests.sagas.running import AT_ONCE, Clock, ended, on_a_loop, parked
from tests.sagas.test_counts import counted

ROOT = Path(__file__).resolve().parents[2]
TOLD: list[Report[Any]] = []


@pytest.fixture(autouse=True)
def _anew() -> None:
    TOLD.clear()


class Receipt(BaseModel):
    total: int


@step(name="handlers.reserve")
async def reserve(what: str) -> str:
    return what


@reserve.compensation(name="handlers.release")
async def release(undo: Undo[str], what: str) -> None: ...


@saga(name="handlers.order")
async def order(what: str) -> Receipt:
    await reserve(what)
    if what == "bad":
        raise ValueError("sold out \ud800")
    if what == "waits":
        await receive(str, name="never")
    if what == "stuck":
        await asyncio.get_running_loop().create_future()
    return Receipt(total=7)


@order.on_complete(name="handlers.done")
async def done(report: Report[Receipt]) -> None:
    TOLD.append(report)


@order.on_failure(name="handlers.failed", retry=AT_ONCE)
def failed(report: Report[Receipt]) -> None:
    TOLD.append(report)
    if len(TOLD) < 3 and report.run_id == "again":
        raise RuntimeError("not yet")


@order.on_parked(name="handlers.parked")
def is_parked(report: Report[Receipt]) -> None:
    TOLD.append(report)


async def reported(coordinator: Coordinator) -> list[tuple[str, Status, str | None]]:
    """Give what the handlers were told, once nothing is due."""
    await coordinator.run_until_idle()
    return [(report.run_id, report.status, report.cause) for report in TOLD]


@on_a_loop
async def test_a_completed_run_tells_its_handler_the_typed_result(database_url: str) -> None:
    """S23: the start of the handler's run is part of the transaction that ends the run."""
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(order, "good", id="r")
        await run.result(30)
        assert await reported(coordinator) == [("r", Status.COMPLETED, None)]
        assert TOLD[0].result == Receipt(total=7)
        assert TOLD[0].at == (await coordinator.list(saga="handlers.order"))[0].ended_at
        assert (TOLD[0].saga, TOLD[0].version) == ("handlers.order", "1")
        handler = await coordinator.get(f"r/handlers.done/{(await run.journal())[-1].seq}")
        assert await handler.status() is Status.COMPLETED


@on_a_loop
async def test_each_other_end_tells_why(database_url: str) -> None:
    """S13: error, cancel and deadline, and a later undo, which is an end as well."""
    clock = Clock()
    async with Coordinator(database_url, clock=clock) as coordinator:
        bad = await coordinator.start(order, "bad", id="bad")
        assert await ended(bad) is Status.COMPENSATED
        assert await reported(coordinator) == [("bad", Status.COMPENSATED, "error")]
        assert TOLD.pop().error == "ValueError: sold out ?"
        waits = await coordinator.start(order, "waits", id="waits")
        await waits.cancel()
        assert await ended(waits) is Status.COMPENSATED
        assert await reported(coordinator) == [("waits", Status.COMPENSATED, "cancel")]
        TOLD.clear()
        good = await coordinator.start(order, "good", id="good")
        await good.result(30)
        await coordinator.undo("good")
        assert await reported(coordinator) == [
            ("good", Status.COMPLETED, None),
            ("good", Status.COMPENSATED, "operator"),
        ]
        assert TOLD[1].result is None


@on_a_loop
async def test_a_handler_that_fails_is_tried_again(database_url: str) -> None:
    """L2: at least once, until it succeeds; the run's own end stands."""
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(order, "bad", id="again")
        assert await ended(run) is Status.COMPENSATED
        assert await reported(coordinator) == [("again", Status.COMPENSATED, "error")] * 3


@on_a_loop
async def test_a_parked_run_tells_each_time_it_parks(database_url: str) -> None:
    """L2: the reason, and what is owed, so that somebody sees to it."""
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(order, "stuck", id="stuck")
        for times in (1, 2):
            assert "can never come" in str(await parked(run))
            assert await reported(coordinator) == [("stuck", Status.PARKED, None)] * times
            if times == 1:
                await coordinator.operator("eve").resume("stuck")
        assert "can never come" in str(TOLD[0].reason)
        assert TOLD[0].owed == ("handlers.reserve (1)",)


@on_a_loop
async def test_a_run_whose_record_is_broken_tells_as_well(database_url: str) -> None:
    """S26: it parks without a turn of its own."""
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(order, "waits", id="broken")
        await dormant(run)
        with coordinator.engine.begin() as db:
            table = tables_in(prefix="amends_") if db.dialect.name == "sqlite" else tables_in(schema="amends")
            db.execute(table.journal.update().values(meta="no json"))
        await coordinator.signal("broken", "wakes")
        await coordinator.run_until_idle()
        assert await run.status() is Status.PARKED
        assert await reported(coordinator) == [("broken", Status.PARKED, None)]


@on_a_loop
async def test_a_run_parks_though_nobody_can_be_told_of_it(database_url: str) -> None:
    """L2: the ids of its messages were taken by somebody's runs; it isn't left between driven and parked."""
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(order, "waits", id="taken")
        await dormant(run)
        for seq in range(1, 20):
            for handler in order.on_complete, order.on_parked:
                for each in handler:
                    await coordinator.start(order, "waits", id=f"taken/{each.name}/{seq}")
        await coordinator.signal("taken", "never", "now")
        await coordinator.run_until_idle()
        assert await run.status() is Status.PARKED
        assert "belongs to a run that somebody started" in str((await run.journal())[-1].meta["reason"])


async def dormant(run: Run[Any]) -> None:
    """Wait until a run has left memory."""
    while await run.status() is not Status.WAITING:  # noqa: ASYNC110 - the coordinator tells nobody
        await asyncio.sleep(0.01)


@on_a_loop
async def test_a_child_tells_as_a_run_of_its_own(database_url: str) -> None:
    """S19: its end is told with its end, whatever becomes of the run above."""

    @saga(name="handlers.above")
    async def above() -> int:
        return (await order("good")).total

    async with Coordinator(database_url) as coordinator:
        await (await coordinator.start(above, id="above")).result(30)
        assert await reported(coordinator) == [("above/1", Status.COMPLETED, None)]


@on_a_loop
async def test_a_handler_costs_the_end_no_commit_of_its_own(database_url: str) -> None:
    """Section 3: it rides along with the end; its own run costs two."""

    @saga(name="handlers.plain")
    async def plain() -> None: ...

    @saga(name="handlers.told")
    async def telling() -> None: ...

    @telling.on_complete(name="handlers.nothing")
    async def nothing(report: Report[None]) -> None: ...

    costs: list[int] = []
    for body in (plain, telling):
        async with Coordinator(database_url, sagas=[body]) as coordinator:
            await coordinator.run_until_idle()
            with counted() as count:
                await (await coordinator.start(body)).result(30)
                costs.append(count.writing)
    assert costs[0] == costs[1]


@pytest.mark.parametrize("point", POINTS)
def test_a_handler_killed_at_work_is_called_again_under_its_key(
    database_url: str, tmp_path: Path, point: str
) -> None:
    """S9, L1: the worker dies in the handler, before or after its effect; the next one calls it again."""
    log = tmp_path / "log"
    log.touch()

    def child(where: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tests.sagas.handling_child", database_url, where, str(log)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)

    if point:
        assert child(point).returncode == -signal.SIGKILL
    last = child("")
    assert (last.returncode, last.stdout) == (0, "completed"), last.stderr
    lines = log.read_text().splitlines()
    assert len(lines) == (2 if point == "after" else 1)
    assert len({line for line in lines if line.startswith("r 7 ")}) == 1


@on_a_loop
async def test_one_handler_of_a_name_replaces_the_other(database_url: str) -> None:
    """Section 2: defined again from the same file it replaces, and others stand beside it."""

    def handled(body: Saga[[], None], name: str) -> None:
        @body.on_complete(name=f"handlers.{name}")
        async def handler(report: Report[None]) -> None:
            TOLD.append(report)
            assert current_step().name == f"handlers.{name}"

    @saga(name="handlers.several")
    async def several() -> None: ...

    for name in ("one", "two", "one"):
        handled(several, name)
    async with Coordinator(database_url) as coordinator:
        await (await coordinator.start(several, id="r")).result(30)
        assert await reported(coordinator) == [("r", Status.COMPLETED, None)] * 2


def test_what_can_be_no_handler_is_refused_at_decoration() -> None:
    """Errors at the boundary name the handler and say what it gets."""
    with pytest.raises(DefinitionError, match=r"@handlers.order.on_complete: 'handlers.none' takes \(\); it"):

        @order.on_complete(name="handlers.none")  # type: ignore[arg-type]  # on purpose
        def none() -> None: ...

    with pytest.raises(DefinitionError, match="takes a function"):
        order.on_parked(done)
    with pytest.raises(DefinitionError, match=r"@handlers.order.on_failure: retry='no' must be a Retry"):
        order.on_failure(retry="no")  # type: ignore[call-overload]  # on purpose
