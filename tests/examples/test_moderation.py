"""The moderation queue: as a program, under kills, and each way that an answer can come."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from amends.sagas import Coordinator, Status
from amends.sagas.testing import VirtualClock, crash_test
from examples.moderation.moderation import DAY, HOOKS, Newsroom, Verdict, answer_as_tool, publish
from tests.examples.programs import Program
from tests.sagas.running import ended, on_a_loop


def test_it_prints_how_each_article_ended(tmp_path: Path) -> None:
    with Program("moderation/moderation.py", cwd=tmp_path) as program:
        assert program.end() == 0
    put_up, reminded, taken_down = "put up Kettles", "reminded of Kettles", "took down Kettles"
    assert [line for line in program.lines if "SQLite" not in line] == [
        "approved on the first day: Kettles is published",
        f"  {put_up}",
        "  what is up: Kettles",
        "approved by signal, after the reminder: Kettles is published",
        f"  {put_up}; {reminded}",
        "  what is up: Kettles",
        "rejected on the second day: compensated, because it is an advertisement",
        f"  {put_up}; {taken_down}",
        "  what is up: nothing",
        "nobody answers: partially_compensated, because nobody has looked at it",
        f"  {put_up}; {reminded}; {taken_down}",
        "  what is up: nothing",
    ]


def test_an_article_that_nobody_looks_at_is_taken_down_wherever_the_worker_is_killed() -> None:
    """S3, S10: whatever was put up is taken down, however often the worker dies."""
    world = Newsroom()
    report = crash_test(publish, "Kettles", world=world)
    assert report.points > 10


@pytest.mark.parametrize("days", [0, 1, 3, 6])
@pytest.mark.parametrize("approved", [True, False])
@on_a_loop
async def test_an_answer_by_webhook_counts_whenever_it_comes(
    days: int,
    approved: bool,  # noqa: FBT001 - parametrized
    database_url: str,
) -> None:
    """Each day is another process: nothing of a waiting article is in memory."""
    world, clock = Newsroom(), VirtualClock()
    for day in range(days + 1):
        async with Coordinator(database_url, resources=world, webhooks=HOOKS, clock=clock) as coordinator:
            run = await coordinator.start(publish, "Kettles", id="a")
            await clock.run(coordinator, until=clock.now + DAY * (day > 0))
            assert await run.status() is Status.WAITING
    async with Coordinator(database_url, resources=world, webhooks=HOOKS, clock=clock) as coordinator:
        await answer_as_tool(coordinator, world.queue["Kettles"], Verdict(approved=approved, reason="so"))
        await clock.run(coordinator)
        status = await ended(await coordinator.get("a"))
    undone = Status.COMPENSATED if days < 2 else Status.PARTIALLY_COMPENSATED
    assert status is (Status.COMPLETED if approved else undone)
    assert world.snapshot() == (["Kettles"] if approved else [])
    assert world.told.count("reminded of Kettles") == (days >= 2)


@on_a_loop
async def test_an_answer_after_a_week_comes_too_late(sqlite_url: str) -> None:
    world, clock = Newsroom(), VirtualClock()
    async with Coordinator(sqlite_url, resources=world, webhooks=HOOKS, clock=clock) as coordinator:
        run = await coordinator.start(publish, "Kettles", id="a")
        await coordinator.run_until_idle()
        url = world.queue["Kettles"]
        await clock.run(coordinator, until=clock.now + timedelta(days=8))
        assert await ended(run) is Status.PARTIALLY_COMPENSATED
        with pytest.raises(Exception, match="410 Gone"):
            await answer_as_tool(coordinator, url, Verdict(approved=True))
    assert world.snapshot() == []
