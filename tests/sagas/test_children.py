"""Child runs: a saga awaited in a saga is a run of its own, and undone as a unit (S19)."""

from __future__ import annotations

import asyncio
import datetime as dt

import pytest

from amends.sagas import (
    AmendsError,
    Coordinator,
    NoEffect,
    RunFailed,
    Status,
    Undo,
    current_step,
    saga,
    savepoint,
    sleep,
    step,
)
from amends.sagas.journal import Kind
from tests.sagas.running import ONCE, Gate, ended, failure, kinds, on_a_loop, parked, recorded, result_of

DONE: list[str] = []
KEYS: list[str] = []
TROUBLE: set[str] = set()
GATES: dict[str, Gate] = {}


@pytest.fixture(autouse=True)
def _anew() -> None:
    for each in (DONE, KEYS, TROUBLE, GATES):
        each.clear()


class Full(NoEffect):
    """Nothing is free."""


@step(name="children.book", retry=ONCE)
async def book(what: str) -> str:
    if what in GATES:
        await GATES[what].wait()
    if what in TROUBLE:
        raise Full(what)
    DONE.append(what)
    KEYS.append(current_step().idempotency_key)
    return what


@book.compensation(name="children.unbook", retry=ONCE)
async def unbook(undo: Undo[str], what: str) -> None:
    if f"-{what}" in GATES:
        await GATES[f"-{what}"].wait()
    if f"-{what}" in TROUBLE:
        raise OSError(what)
    DONE.append(f"-{what}")


@step(name="children.note", retry=ONCE)
async def note(what: str) -> None:
    DONE.append(what)


@step(name="children.look", effect="read")
async def look(what: str) -> str:
    return what


@saga(name="children.night")
async def night(city: str) -> str:
    await book(f"{city} hotel")
    return await book(f"{city} dinner")


@saga(name="children.tour")
async def tour(*cities: str) -> list[str]:
    eaten = [await night(city) for city in cities]
    await book("home")
    return eaten


@on_a_loop
async def test_a_child_gives_its_result_and_has_a_journal_of_its_own(database_url: str) -> None:
    """S19; section 2, Runs."""
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(tour, "Oslo", "Rome", id="tour")
        assert await run.result(30) == ["Oslo dinner", "Rome dinner"]
        assert (await kinds(run)).count(Kind.INTENT) == 3
        child = await coordinator.get("tour/2")
        assert await child.result(30) == "Rome dinner"
        found = await coordinator.list(parent="tour")
        assert [(info.id, info.parent, info.status) for info in found] == [
            ("tour/2", "tour", Status.COMPLETED),
            ("tour/1", "tour", Status.COMPLETED),
        ]
    assert len(set(KEYS)) == len(KEYS) == 5


@on_a_loop
async def test_a_finished_child_is_undone_as_a_unit_in_its_place(database_url: str) -> None:
    """S19, S7: what came after it first, then all of it, in its own order."""
    TROUBLE.add("home")
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(tour, "Oslo", "Rome", id="tour")
        assert isinstance((await failure(run)).error, Full)
        assert await run.status() is Status.COMPENSATED
        assert {info.status for info in await coordinator.list(parent="tour")} == {Status.COMPENSATED}
    assert DONE[4:] == ["-Rome dinner", "-Rome hotel", "-Oslo dinner", "-Oslo hotel"]


@on_a_loop
async def test_a_child_that_fails_has_undone_itself_before_its_parent_hears_of_it(database_url: str) -> None:
    """Section 2, Steps: an error that the body sees means that the effect isn't in the world."""
    heard: list[tuple[str, ...]] = []

    @saga(name="children.copes")
    async def copes() -> list[str]:
        try:
            await night("Oslo")
        except Full as full:
            heard.append(tuple(DONE))
            return [str(full), await night("Rome")]
        return []

    TROUBLE.add("Oslo dinner")
    seen = await result_of(database_url, copes)
    assert seen == ["Oslo dinner", "Rome dinner"]
    assert heard[0] == ("Oslo hotel", "-Oslo hotel")


@on_a_loop
async def test_what_a_failed_child_undid_counts_for_its_parent(sqlite_url: str) -> None:
    """S13: something had landed, and all of it is undone."""
    TROUBLE.add("Oslo dinner")
    async with Coordinator(sqlite_url) as coordinator:
        assert await ended(await coordinator.start(tour, "Oslo")) is Status.COMPENSATED


@on_a_loop
async def test_what_stays_of_a_child_stays_of_its_parent(sqlite_url: str) -> None:
    """S13: beside what was undone, a plain effect of the child stands."""

    @saga(name="children.noting")
    async def noting() -> None:
        await book("desk")
        await note("letter")

    @saga(name="children.after_noting")
    async def after_noting() -> None:
        await noting()
        await book("home")

    TROUBLE.add("home")
    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(after_noting)
        assert await ended(run) is Status.PARTIALLY_COMPENSATED
        assert [(left.step, left.effect.value) for left in await run.left_standing()] == [
            ("children.noting", "child")
        ]
    assert DONE == ["desk", "letter", "-desk"]


@on_a_loop
async def test_a_child_without_effects_needs_no_undoing(sqlite_url: str) -> None:
    """S24: it blocks nobody, and stays as it ended."""

    @saga(name="children.looking")
    async def looking() -> str:
        return await look("weather")

    @saga(name="children.after_looking")
    async def after_looking() -> None:
        await looking()
        raise ValueError("rain")

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(after_looking, id="rain")
        assert await ended(run) is Status.FAILED
        assert await (await coordinator.get("rain/1")).status() is Status.COMPLETED


@on_a_loop
async def test_undone_later_a_run_takes_its_children_with_it(database_url: str) -> None:
    """S19; section 2, Runs: undo of a completed run as a unit."""
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(tour, "Oslo", "Rome", id="tour")
        await run.result(30)
        plan = await coordinator.undo_plan("tour")
        assert [planned.step for group in plan.steps for planned in group] == [
            "children.book",
            "children.night",
            "children.night",
        ]
        nested = plan.steps[1][0].plan
        assert nested is not None
        assert nested.run_id == "tour/2"
        assert [planned.ref for group in nested.steps for planned in group] == [2, 1]
        assert "tour/2" in str(plan)
        await coordinator.undo("tour")
        assert await ended(run) is Status.COMPENSATED
    assert DONE[5:] == ["-home", "-Rome dinner", "-Rome hotel", "-Oslo dinner", "-Oslo hotel"]


@on_a_loop
async def test_a_child_that_was_undone_by_itself_is_not_undone_again(database_url: str) -> None:
    """S9, S19: asked once more, it answers that nothing is left to do."""
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(tour, "Oslo", id="tour")
        await run.result(30)
        child = await coordinator.get("tour/1")
        await coordinator.undo("tour/1")
        assert await ended(child) is Status.COMPENSATED
        assert "run 'tour/1': nothing is left to undo" in str(await coordinator.undo_plan("tour"))
        await coordinator.undo("tour")
        assert await ended(run) is Status.COMPENSATED
    assert DONE[3:] == ["-Oslo dinner", "-Oslo hotel", "-home"]


@saga(name="children.trip")
async def trip() -> None:
    await book("car")
    await tour("Oslo")


@on_a_loop
async def test_a_cancel_reaches_children_and_theirs(database_url: str) -> None:
    """S19, S16: whatever is under way below is stopped and undone."""
    gate = GATES["Oslo dinner"] = Gate()
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(trip, id="trip")
        await gate.reached.wait()
        await run.cancel()
        await recorded(await coordinator.get("trip/2/1"), Kind.SWITCH)
        gate.opened.set()
        assert await ended(run) is Status.COMPENSATED
        statuses = [await (await coordinator.get(f"trip/2{rest}")).status() for rest in ("", "/1")]
        assert statuses == [Status.COMPENSATED] * 2
    assert DONE == ["car", "Oslo hotel", "Oslo dinner", "-Oslo dinner", "-Oslo hotel", "-car"]


@on_a_loop
async def test_a_child_called_in_the_turn_that_turns_its_parent_round_is_never_started(
    database_url: str,
) -> None:
    """S4, S24: nothing of it was begun, so nothing is left of it."""

    @saga(name="children.hasty")
    async def hasty() -> None:
        await book("car")
        left = asyncio.ensure_future(night("Oslo"))
        await asyncio.sleep(0)
        raise ValueError(left.done())

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(hasty, id="hasty")
        assert await ended(run) is Status.COMPENSATED
        assert await coordinator.list(parent="hasty") == []
    assert DONE == ["car", "-car"]


@on_a_loop
async def test_a_great_many_children_called_in_a_turn_that_fails_come_to_nothing(sqlite_url: str) -> None:
    """S24, L3: however many there are."""

    @saga(name="children.one_is_wrong")
    async def one_is_wrong() -> None:
        await book("car")
        await asyncio.gather(*(night(f"{number}") for number in range(2_000)), night(7))  # type: ignore[arg-type]  # on purpose

    async with Coordinator(sqlite_url) as coordinator:
        assert await ended(await coordinator.start(one_is_wrong, id="wrong")) is Status.COMPENSATED
        assert await coordinator.list(parent="wrong") == []
    assert DONE == ["car", "-car"]


@on_a_loop
async def test_a_deadline_reaches_children(sqlite_url: str) -> None:
    """S19, L4: the parent's deadline stops the child too."""

    @saga(name="children.sleepy")
    async def sleepy() -> None:
        await book("bed")
        await sleep(dt.timedelta(days=1))

    @saga(name="children.hurried", deadline=dt.timedelta(milliseconds=300))
    async def hurried() -> None:
        await sleepy()

    async with Coordinator(sqlite_url) as coordinator:
        error = await failure(await coordinator.start(hurried))
    assert (error.status, error.cause) == (Status.COMPENSATED, "deadline")
    assert DONE == ["bed", "-bed"]


@on_a_loop
async def test_a_child_cancelled_by_itself_is_an_error_in_its_parent(sqlite_url: str) -> None:
    """The parent's body sees `RunFailed`, and may go on without it."""
    gate = GATES["Oslo dinner"] = Gate()

    @saga(name="children.without")
    async def without() -> str:
        try:
            return await night("Oslo")
        except RunFailed as failed:
            return f"{failed.run_id} {failed.status} {failed.cause}"

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(without, id="alone")
        await gate.reached.wait()
        await (await coordinator.get("alone/1")).cancel()
        gate.opened.set()
        assert await run.result(30) == "alone/1 compensated cancel"
    assert DONE == ["Oslo hotel", "Oslo dinner", "-Oslo dinner", "-Oslo hotel"]


@on_a_loop
async def test_a_parked_child_parks_its_parent_and_takes_it_along_when_it_goes_on(database_url: str) -> None:
    """S19: a person sees to the child, and both go on."""
    TROUBLE.update({"Oslo dinner", "-Oslo hotel"})
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(tour, "Oslo", id="tour")
        error = await parked(run)
        assert "'tour/1'" in str(error)
        assert await (await coordinator.get("tour/1")).status() is Status.PARKED
        TROUBLE.clear()
        await coordinator.operator("ann").retry("tour/1", 1)
        await recorded(run, Kind.RESUMED)
        assert await ended(run) is Status.COMPENSATED
    assert DONE == ["Oslo hotel", "-Oslo hotel"]


@on_a_loop
async def test_a_compensation_stuck_in_a_child_parks_its_parent_until_it_is_waived(database_url: str) -> None:
    """S12, S19, S25: what came before the child waits."""
    TROUBLE.update({"home", "-Oslo dinner"})
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(tour, "Rome", "Oslo", id="tour")
        await parked(run)
        assert DONE == ["Rome hotel", "Rome dinner", "Oslo hotel", "Oslo dinner"]
        await coordinator.operator("ann").waive("tour/2", 2, reason="the guest paid")
        await recorded(run, Kind.RESUMED)
        assert await ended(run) is Status.PARTIALLY_COMPENSATED
    assert DONE[4:] == ["-Oslo hotel", "-Rome dinner", "-Rome hotel"]


@on_a_loop
async def test_an_abandoned_child_is_undone_beside_the_body(database_url: str) -> None:
    """S27: the parent doesn't complete before the child has settled."""
    gate = GATES["Oslo dinner"] = Gate()

    @saga(name="children.impatient")
    async def impatient() -> str:
        try:
            async with asyncio.timeout(2):
                return await night("Oslo")
        except TimeoutError:
            return await night("Rome")

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(impatient, id="impatient")
        await recorded(run, Kind.ABANDONED)
        gate.opened.set()
        assert await run.result(30) == "Rome dinner"
        assert await (await coordinator.get("impatient/1")).status() is Status.COMPENSATED
    assert sorted(DONE) == sorted(
        ["Oslo hotel", "Oslo dinner", "-Oslo dinner", "-Oslo hotel", "Rome hotel", "Rome dinner"]
    )


@on_a_loop
async def test_a_savepoint_undoes_the_children_called_in_it(database_url: str) -> None:
    """S20, S19."""

    @saga(name="children.tries_twice")
    async def tries_twice() -> str:
        await book("car")
        try:
            async with savepoint():
                await night("Oslo")
                await book("full")
        except Full:
            return await night("Rome")
        return ""

    TROUBLE.add("full")
    assert await result_of(database_url, tries_twice) == "Rome dinner"
    assert DONE == [
        "car", "Oslo hotel", "Oslo dinner", "-Oslo dinner", "-Oslo hotel", "Rome hotel", "Rome dinner",
    ]  # fmt: skip


@on_a_loop
async def test_a_child_called_in_the_turn_in_which_its_savepoint_is_left_ends_first(
    database_url: str,
) -> None:
    """S20: like a step that is under way then; its outcome reaches whoever waits for it."""

    @saga(name="children.leaves")
    async def leaves() -> str:
        left: asyncio.Future[str] | None = None
        try:
            async with savepoint():
                left = asyncio.ensure_future(night("Oslo"))
                await asyncio.sleep(0)
                raise ValueError
        except ValueError:
            return "" if left is None else await left

    assert await result_of(database_url, leaves) == "Oslo dinner"
    assert DONE == ["Oslo hotel", "Oslo dinner", "-Oslo dinner", "-Oslo hotel"]


@on_a_loop
async def test_a_thousand_children_under_a_limit(database_url: str) -> None:
    """Section 2, Runs: fan-out, no more than fifty at once, and each is its own run."""
    going: list[int] = []

    @step(name="children.count")
    async def count(number: int) -> int:
        going.append(number)
        DONE.append(str(number))
        return number

    @count.compensation(name="children.uncount")
    async def uncount(undo: Undo[int], number: int) -> None:
        DONE.append(f"-{number}")

    @saga(name="children.one")
    async def one(number: int) -> int:
        return await count(number)

    @saga(name="children.many")
    async def many(number: int) -> int:
        limit = asyncio.Semaphore(50)

        async def limited(each: int) -> int:
            async with limit:
                return await one(each)

        return sum(await asyncio.gather(*(limited(each) for each in range(number))))

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(many, 1_000, id="many")
        assert await run.result(50) == 499_500
        assert len(await coordinator.list(parent="many", limit=2_000)) == 1_000
        await coordinator.undo("many")
        assert await ended(run) is Status.COMPENSATED
    assert len(DONE) == len(set(DONE)) == 2_000


@on_a_loop
async def test_a_parent_goes_on_where_another_worker_has_finished_its_child(database_url: str) -> None:
    """S19, L1: parent and child may be anywhere; the child's end wakes the parent."""
    gate = GATES["Oslo dinner"] = Gate()
    async with Coordinator(database_url, sagas=[tour]) as first:
        run = await first.start(tour, "Oslo", id="tour")
        await recorded(run, Kind.INTENT)
        async with Coordinator(database_url, sagas=[night]) as second:
            await gate.reached.wait()
            gate.opened.set()
            assert await (await second.get("tour/1")).result(30) == "Oslo dinner"
            assert await run.result(30) == ["Oslo dinner"]


@on_a_loop
async def test_an_id_that_a_child_would_need_may_be_taken(sqlite_url: str) -> None:
    """S17: the child isn't mistaken for a run that somebody started; the parent is parked, and says why."""
    async with Coordinator(sqlite_url) as coordinator:
        await (await coordinator.start(night, "Bergen", id="tour/1")).result(30)
        with pytest.raises(AmendsError, match="'tour/1' of its child run belongs to a run that somebody"):
            await coordinator.start(tour, "Oslo", id="tour")
        await (await coordinator.start(night, "Bergen", id="trip/2")).result(30)
        error = await parked(await coordinator.start(trip, id="trip"))
        assert "'trip/2' of its child run belongs to a run that somebody started" in str(error)


@on_a_loop
async def test_what_children_owe_is_owed_by_going_runs(sqlite_url: str) -> None:
    """S21: a child that has completed still counts while the run above it goes on."""
    gate = GATES["home"] = Gate()
    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(tour, "Oslo")
        await gate.reached.wait()
        owed = await coordinator.owed()
        assert [(each.handler, each.runs) for each in owed] == [("children.unbook@1", 2)]
        gate.opened.set()
        await run.result(30)
        assert await coordinator.owed() == []


def test_outside_a_run_a_saga_in_a_saga_is_a_plain_call() -> None:
    @saga(name="children.inner")
    async def inner(what: str) -> str:
        return await look(what)

    @saga(name="children.outer")
    async def outer() -> str:
        return await inner("sun")

    assert asyncio.run(outer()) == "sun"


@on_a_loop
async def test_closed_in_the_middle_of_a_child_both_go_on(database_url: str) -> None:
    """L1: with the next worker."""
    gate = GATES["Oslo dinner"] = Gate()
    async with Coordinator(database_url, grace=dt.timedelta(0)) as coordinator:
        run = await coordinator.start(tour, "Oslo", id="tour")
        await gate.reached.wait()
    GATES.clear()
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.get("tour")
        assert await run.result(50) == ["Oslo dinner"]


@on_a_loop
async def test_a_child_that_is_parked_already_parks_the_parent_that_wants_it_undone(
    database_url: str,
) -> None:
    """S19, L2: undone by itself it got stuck; the parent that is undone after that is told."""
    TROUBLE.add("-Oslo hotel")
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(tour, "Oslo", id="tour")
        await run.result(30)
        await coordinator.undo("tour/1")
        await parked(await coordinator.get("tour/1"))
        plan = (await coordinator.undo_plan("tour")).steps[-1][0].plan
        assert plan is not None
        assert "failed for good" in plan.parked
        await coordinator.undo("tour")
        assert "'tour/1'" in str(await parked(run))
        TROUBLE.clear()
        await coordinator.operator("ann").retry("tour/1", 1)
        await recorded(run, Kind.RESUMED)
        assert await ended(run) is Status.COMPENSATED
    assert DONE[3:] == ["-Oslo dinner", "-home", "-Oslo hotel"]


@on_a_loop
async def test_what_became_of_a_childs_child_is_told_all_the_way_up(sqlite_url: str) -> None:
    """`RunFailed` keeps its facts through two journals."""
    gate = GATES["Oslo dinner"] = Gate()

    @saga(name="children.far_above")
    async def far_above() -> str:
        try:
            await tour("Oslo")
        except RunFailed as failed:
            return f"{failed.run_id} {failed.status} {failed.cause}"
        return ""

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(far_above, id="top")
        await gate.reached.wait()
        await (await coordinator.get("top/1/1")).cancel()
        gate.opened.set()
        assert await run.result(30) == "top/1/1 compensated cancel"
