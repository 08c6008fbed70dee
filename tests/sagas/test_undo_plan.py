"""What undoing would do is known beforehand, and is what it then does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from amends.sagas import (
    ActionRefused,
    Coordinator,
    Retry,
    Run,
    RunNotFound,
    Undo,
    UndoPlan,
    saga,
    step,
)
from amends.sagas.registry import HANDLERS
from tests.sagas.running import Gate, ended, on_a_loop

DONE: list[str] = []
GATES: list[Gate] = []


@pytest.fixture(autouse=True)
def _anew() -> None:
    DONE.clear()
    GATES[:] = [Gate()]


@step(name="plan.book")
async def book(what: str) -> str:
    return what


@book.compensation(name="plan.unbook")
async def unbook(undo: Undo[str], what: str) -> None:
    DONE.append(what)


@step(name="plan.ship", retry=Retry(attempts=1))
async def ship() -> None:
    raise OSError("no answer")


@ship.compensation(name="plan.unship", version="2")
async def unship(undo: Undo[None]) -> None:
    DONE.append("ship")


@step(name="plan.mail", effect="irreversible")
async def mail() -> None: ...


@step(name="plan.count")
async def count() -> None: ...


@step(name="plan.look", effect="read")
async def look() -> None: ...


@step(name="plan.pay", effect="pivot")
async def pay() -> None: ...


@saga(name="plan.trip")
async def trip() -> None:
    await look()
    await book("hotel")
    await asyncio.gather(book("car"), book("boat"))
    await mail()
    await count()
    await book("guide")


@saga(name="plan.paid")
async def paid() -> None:
    await book("hotel")
    await pay()


@saga(name="plan.nothing")
async def nothing() -> None:
    await mail()


@step(name="plan.wait")
async def wait() -> None:
    await GATES[0].wait()


@saga(name="plan.slow")
async def slow() -> None:
    await book("hotel")
    await wait()


def order(plan: UndoPlan) -> list[list[tuple[str, int]]]:
    return [[(planned.step, planned.ref) for planned in group] for group in plan.steps]


async def completed(coordinator: Coordinator, body: Any) -> Run[Any]:
    run: Run[Any] = await coordinator.start(body)
    await run.result(30)
    return run


@on_a_loop
async def test_the_plan_says_what_in_which_order_and_what_stays(database_url: str) -> None:
    """S7, S15: siblings side by side, before what precedes them; plain and irreversible effects stay."""
    async with Coordinator(database_url) as coordinator:
        run = await completed(coordinator, trip)
        plan = await coordinator.undo_plan(run.id)
        assert order(plan) == [
            [("plan.book", 7)],
            [("plan.book", 4), ("plan.book", 3)],
            [("plan.book", 2)],
        ]
        assert [(left.step, left.effect) for left in plan.stays] == [
            ("plan.mail", "irreversible"),
            ("plan.count", "plain"),
        ]
        assert (plan.refused, plan.missing) == (None, ())
        assert str(plan).splitlines() == [
            f"run {run.id!r} would be undone in this order:",
            "1. plan.book (7) by plan.unbook@1",
            "2. plan.book (4) by plan.unbook@1; plan.book (3) by plan.unbook@1, side by side",
            "3. plan.book (2) by plan.unbook@1",
            "stays: plan.mail (5), irreversible",
            "stays: plan.count (6), plain",
        ]


@on_a_loop
async def test_undoing_does_what_was_planned_and_is_refused_then(database_url: str) -> None:
    async with Coordinator(database_url) as coordinator:
        run = await completed(coordinator, trip)
        await coordinator.undo(run.id, by="ann", reason="wrong customer")
        assert await ended(run) == "partially_compensated"
        assert [(row.actor, row.action) for row in await run.audit()] == [("ann", "undo")]
        plan = await coordinator.undo_plan(run.id)
        assert "only a run that has completed" in (plan.refused or "")
        assert [left.step for left in plan.stays] == ["plan.mail", "plan.count"]
    assert (DONE[0], set(DONE[1:3]), DONE[3]) == ("guide", {"car", "boat"}, "hotel")


@pytest.mark.parametrize(
    ("body", "why", "stays"),
    [
        (paid, "point of no return", ["plan.book", "plan.pay"]),
        (nothing, "none of its steps has a compensation", ["plan.mail"]),
    ],
)
@on_a_loop
async def test_what_cannot_be_undone_is_refused_whole(
    sqlite_url: str, body: Any, why: str, stays: list[str]
) -> None:
    """S14: behind a pivot nothing is undone, not even what could be."""
    async with Coordinator(sqlite_url) as coordinator:
        run = await completed(coordinator, body)
        plan = await coordinator.undo_plan(run.id)
        assert why in (plan.refused or "")
        assert plan.steps == ()
        assert [left.step for left in plan.stays] == stays
        assert str(plan).startswith(f"run {run.id!r} can't be undone: ")
        with pytest.raises(ActionRefused, match=why):
            await coordinator.undo(run.id)


@on_a_loop
async def test_a_run_that_goes_on_is_to_be_cancelled_instead(sqlite_url: str) -> None:
    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(slow)
        await GATES[0].reached.wait()
        assert "cancel one that is going on" in ((await coordinator.undo_plan(run.id)).refused or "")
        GATES[0].opened.set()
        await run.result(30)
        with pytest.raises(RunNotFound):
            await coordinator.undo_plan("nothing")
        with pytest.raises(RunNotFound):
            await coordinator.undo("nothing")


@on_a_loop
async def test_a_compensation_that_is_not_defined_here_is_named(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S21: a process that knows nothing of the saga can plan all the same."""
    async with Coordinator(sqlite_url) as coordinator:
        run = await completed(coordinator, paid_less)
        known = [name for name in HANDLERS.keys() if name != "plan.unbook@1"]  # noqa: SIM118 - no mapping
        monkeypatch.setattr(HANDLERS, "keys", lambda: known)
        plan = await coordinator.undo_plan(run.id)
        assert plan.missing == ("plan.unbook@1",)
        assert str(plan).splitlines()[-1] == "not defined here: plan.unbook@1"


@saga(name="plan.paid_less")
async def paid_less() -> None:
    await book("hotel")


@on_a_loop
async def test_what_was_undone_on_the_way_is_not_in_the_plan(sqlite_url: str) -> None:
    """S9, S27: a step that failed and was compensated beside the body is not undone again."""

    @saga(name="plan.goes_on")
    async def goes_on() -> None:
        await book("hotel")
        try:
            await ship()
        except OSError:
            await book("van")

    async with Coordinator(sqlite_url) as coordinator:
        run = await completed(coordinator, goes_on)
        plan = await coordinator.undo_plan(run.id)
        assert order(plan) == [[("plan.book", 3)], [("plan.book", 1)]]
        assert plan.stays == ()


def test_the_blocking_door_has_the_same_acts(database_url: str) -> None:
    with Coordinator.sync(database_url) as coordinator:
        run = coordinator.start(trip)
        run.result(30)
        assert len(coordinator.undo_plan(run.id).steps) == 3
        assert coordinator.owed() == []
        again = coordinator.start(paid_less)
        again.result(30)
        checked = coordinator.operator("ben", dry_run=True).for_each(
            coordinator.operator("ben").undo, [run.id, again.id, run.id]
        )
        assert [each.refused is None for each in checked] == [True, True, False]
        coordinator.run_until_idle()
        assert [row.actor for row in run.audit()] == ["ben"]
        with pytest.raises(ActionRefused, match="only a run that has completed"):
            coordinator.undo(run.id, by="ann")
        with pytest.raises(ActionRefused):
            coordinator.operator("ann").retry(run.id, 2)
