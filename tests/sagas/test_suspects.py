"""Runs that were lost with their workers twice, and did nothing wrong: they only waited."""

from __future__ import annotations

from amends.sagas import Coordinator, receive, saga
from tests.sagas.running import on_a_loop

MANY = 100
"""More than can be held for a second each within the minute that a test has."""


@saga(name="suspects.listens")
async def listens() -> int:
    return await receive(int, name="number")


@on_a_loop
async def test_runs_that_were_lost_while_they_waited_do_not_hold_each_other_up(sqlite_url: str) -> None:
    """S26, L3: each is claimed alone, and leaves at once when it has nothing to do."""
    async with Coordinator(sqlite_url, work=False) as outside:
        runs = [await outside.start(listens, id=f"run-{number}") for number in range(MANY)]
        for run in runs:
            await outside.signal(run.id, "noise")
        with outside.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE amends_runs SET lost = 2")
        # Told now, it is due after all the others, who hear of nothing that they wait for.
        await outside.signal(runs[-1].id, "number", 7)
        async with Coordinator(sqlite_url):
            assert await runs[-1].result() == 7
