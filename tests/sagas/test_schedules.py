"""Schedules: each occurrence starts one run; catching up, overlapping, pausing, replacing."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from amends.sagas import (
    Coordinator,
    DefinitionError,
    InputInvalid,
    PayloadTooLarge,
    RunInfo,
    Schedule,
    ScheduleNotFound,
    Status,
    Undo,
    current_run,
    saga,
    sleep,
    step,
)
from amends.sagas.testing import VirtualClock
from tests.sagas.running import on_a_loop

HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
START = dt.datetime(2026, 11, 20, 8, 30, tzinfo=dt.UTC)


@saga(name="schedules.told")
async def told(word: str = "hello") -> str:
    """Tell for when it was started."""
    return f"{word} {current_run().scheduled_for}"


@step(name="schedules.take", retry=None)
async def take() -> str:
    return "taken"


@take.compensation(name="schedules.give")
async def give(undo: Undo[str]) -> None: ...


@saga(name="schedules.lasts")
async def lasts(duration: float) -> None:
    """Take so many hours."""
    await take()
    await sleep(dt.timedelta(hours=duration))


@asynccontextmanager
async def opened(url: str, clock: VirtualClock, **options: Any) -> AsyncIterator[Coordinator]:
    async with Coordinator(url, clock=clock, **options) as coordinator:
        yield coordinator


async def at(clock: VirtualClock, coordinator: Coordinator, when: str) -> None:
    """Let the time pass until a moment in November 2026: `22 09:00`; nothing is missed."""
    day, _, time = when.partition(" ")
    await clock.run(coordinator, until=dt.datetime.fromisoformat(f"2026-11-{day}T{time}+00:00"))


def later(clock: VirtualClock, when: str) -> None:
    """Let the time pass with nobody at work."""
    day, _, time = when.partition(" ")
    clock.move_to(dt.datetime.fromisoformat(f"2026-11-{day}T{time}+00:00"))


async def runs(coordinator: Coordinator) -> dict[str, RunInfo]:
    """Give the runs, those started first at the front, by the day and time in their ids."""
    listed = await coordinator.list(limit=1_000)
    ordered = sorted(listed, key=lambda run: (run.created_at, run.scheduled_for or run.created_at))
    return {run.id.partition("@2026-11-")[2].removesuffix(":00Z").replace("T", " "): run for run in ordered}


async def statuses(coordinator: Coordinator) -> dict[str, str]:
    return {name: run.status.value for name, run in (await runs(coordinator)).items()}


def shown(moment: dt.datetime | None) -> str | None:
    return None if moment is None else f"{moment:%d %H:%M}"


@on_a_loop
async def test_each_occurrence_starts_a_run_that_knows_its_time(database_url: str) -> None:
    """Its id is made of the schedule and the occurrence, in UTC, and the time is the same on replay (S17)."""
    clock = VirtualClock(START)
    async with opened(database_url, clock) as coordinator:
        schedule = await coordinator.schedules.put(
            "nightly", told, "hi", cron="0 9 * * 1-5", timezone="Europe/Berlin"
        )
        assert shown(schedule.next_at) == "23 08:00"
        await at(clock, coordinator, "25 12:00")
        assert list(await runs(coordinator)) == ["23 08:00", "24 08:00", "25 08:00"]
        run = await coordinator.get("nightly@2026-11-24T08:00:00Z")
        assert await run.result() == "hi 2026-11-24 08:00:00+00:00"
        listed = (await runs(coordinator))["24 08:00"]
        assert (listed.saga, listed.scheduled_for) == ("schedules.told", clock.now.replace(day=24, hour=8))
        schedule = await coordinator.schedules.get("nightly")
        assert (schedule.started, schedule.last_run) == (3, "nightly@2026-11-25T08:00:00Z")
        assert (shown(schedule.last_at), shown(schedule.next_at)) == ("25 08:00", "26 08:00")


@on_a_loop
async def test_a_run_that_nobody_scheduled_has_no_such_time(sqlite_url: str) -> None:
    """`scheduled_for` is None, in a child run of a scheduled run too."""

    @saga(name="schedules.above")
    async def above() -> list[str]:
        return [str(current_run().scheduled_for is not None), await told("child")]

    clock = VirtualClock(START)
    async with opened(sqlite_url, clock) as coordinator:
        assert await (await coordinator.start(told)).result(10) == "hello None"
        await coordinator.schedules.put("a", above, every=HOUR)
        await at(clock, coordinator, "20 09:30")
        run = await coordinator.get("a@2026-11-20T09:30:00Z")
        assert await run.result(10) == ["True", "child None"]


@on_a_loop
async def test_the_time_by_plan_is_the_same_when_the_run_is_replayed(database_url: str) -> None:
    """It stands in the run's row, and is exported with it."""

    @saga(name="schedules.replayed")
    async def replayed() -> list[str]:
        before = str(current_run().scheduled_for)
        await sleep(HOUR)
        return [before, str(current_run().scheduled_for)]

    clock = VirtualClock(START)
    async with opened(database_url, clock) as coordinator:
        await coordinator.schedules.put("a", replayed, every=DAY)
        await at(clock, coordinator, "21 09:00")
    async with opened(database_url, clock) as coordinator:
        await at(clock, coordinator, "21 12:00")
        run = await coordinator.get("a@2026-11-21T08:30:00Z")
        assert await run.result() == ["2026-11-21 08:30:00+00:00"] * 2
        assert (await run.export())["run"]["scheduled_for"] == round((START + DAY).timestamp() * 1000)


@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [
        ("latest", ["21 06:30", "21 07:30"]),
        ("all", [*(f"20 {hour:02}:30" for hour in range(10, 24)), *(f"21 0{h}:30" for h in range(8))]),
        ("none", ["21 07:30"]),
    ],
)
@on_a_loop
async def test_what_came_while_nobody_was_alive_is_made_up_for_as_told(
    database_url: str, catch_up: str, expected: list[str]
) -> None:
    """The last one, all in order, or none; then the plan goes on."""
    clock = VirtualClock(START)
    async with opened(database_url, clock) as coordinator:
        await coordinator.schedules.put("a", told, every=HOUR, catch_up=catch_up)
        await at(clock, coordinator, "20 09:30")
    later(clock, "21 06:35")
    async with opened(database_url, clock) as coordinator:
        assert await coordinator.run_until_idle() == dt.datetime(2026, 11, 21, 7, 30, tzinfo=dt.UTC)
        await at(clock, coordinator, "21 07:45")
        assert list(await runs(coordinator)) == ["20 09:30", *expected]


@on_a_loop
async def test_of_more_than_a_hundred_missed_the_last_hundred_are_made_up_for(sqlite_url: str) -> None:
    """The documented limit of `catch_up="all"`."""
    clock = VirtualClock(START)
    async with opened(sqlite_url, clock) as coordinator:
        await coordinator.schedules.put("a", told, cron="*/10 * * * *", catch_up="all")
        clock.advance(dt.timedelta(days=300))
        await coordinator.run_until_idle()
        found = await coordinator.list(limit=1_000)
        times = sorted(run.scheduled_for or clock.now for run in found)
        last = clock.now.replace(minute=30)
        assert (len(found), times[-1], last - times[0]) == (100, last, dt.timedelta(minutes=990))
        assert [b - a for a, b in itertools.pairwise(times)] == [dt.timedelta(minutes=10)] * 99
        assert (await coordinator.schedules.get("a")).started == 100


@pytest.mark.parametrize(("late", "expected"), [(60, ["20 09:30"]), (61, [])])
@on_a_loop
async def test_without_catching_up_a_minute_late_is_not_missed(
    sqlite_url: str, late: int, expected: list[str]
) -> None:
    """The documented grace of `catch_up="none"`."""
    clock = VirtualClock(START)
    async with opened(sqlite_url, clock) as coordinator:
        await coordinator.schedules.put("a", told, every=HOUR, catch_up="none")
        clock.advance(HOUR + dt.timedelta(seconds=late))
        await coordinator.run_until_idle()
        assert list(await runs(coordinator)) == expected


@pytest.mark.parametrize(
    ("overlap", "expected", "skipped"),
    [
        ("allow", {"20 09:30": "waiting", "20 10:30": "waiting", "20 11:30": "waiting"}, 0),
        ("skip", {"20 09:30": "waiting"}, 2),
        ("queue", {"20 09:30": "waiting"}, 1),
        ("cancel_previous", {"20 09:30": "compensated", "20 10:30": "compensated", "20 11:30": "waiting"}, 0),
    ],
)
@on_a_loop
async def test_an_occurrence_finds_the_run_before_it_going_on(
    database_url: str, overlap: str, expected: dict[str, str], skipped: int
) -> None:
    """It starts one beside it, none, one later, or one in its place; what is skipped is on record."""
    clock = VirtualClock(START)
    async with opened(database_url, clock) as coordinator:
        await coordinator.schedules.put("a", lasts, 2.75, every=HOUR, overlap=overlap)
        await at(clock, coordinator, "20 12:00")
        assert await statuses(coordinator) == expected
        schedule = await coordinator.schedules.get("a")
        assert (schedule.skipped, schedule.last_skipped_at is None) == (skipped, not skipped)
        assert shown(schedule.waiting_at) == ("20 10:30" if overlap == "queue" else None)


@on_a_loop
async def test_what_waits_is_started_when_the_run_before_it_ends(database_url: str) -> None:
    """At most one waits; it keeps its own time by plan, and later ones wait for it in turn."""
    clock = VirtualClock(START)
    async with opened(database_url, clock) as coordinator:
        await coordinator.schedules.put("a", lasts, 2.75, every=HOUR, overlap="queue")
        await at(clock, coordinator, "20 15:15")
        found = await runs(coordinator)
        assert [(name, shown(run.created_at), run.status.value) for name, run in found.items()] == [
            ("20 09:30", "20 09:30", "completed"),
            ("20 10:30", "20 12:15", "completed"),
            ("20 12:30", "20 15:00", "waiting"),
        ]
        schedule = await coordinator.schedules.get("a")
        assert (schedule.skipped, shown(schedule.last_skipped_at)) == (3, "20 14:30")


@on_a_loop
async def test_a_parked_run_has_not_ended(sqlite_url: str) -> None:
    """With `overlap="skip"` the schedule waits for the person, and says so by what it skips."""

    @step(name="schedules.doubt", on_unknown="park")
    async def doubt() -> None:
        raise OSError("no answer")

    @saga(name="schedules.parks")
    async def parks() -> None:
        await doubt()

    clock = VirtualClock(START)
    async with opened(sqlite_url, clock) as coordinator:
        await coordinator.schedules.put("a", parks, every=HOUR, overlap="skip")
        await at(clock, coordinator, "20 12:00")
        assert list((await statuses(coordinator)).values()) == [Status.PARKED]
        assert (await coordinator.schedules.get("a")).skipped == 2


@on_a_loop
async def test_the_run_that_is_cancelled_for_the_next_says_so(database_url: str) -> None:
    """Who asked stands in its audit trail; what it had done is undone."""
    clock = VirtualClock(START)
    async with opened(database_url, clock) as coordinator:
        await coordinator.schedules.put("a", lasts, 1.5, every=HOUR, overlap="cancel_previous")
        await at(clock, coordinator, "20 10:45")
        run = await coordinator.get("a@2026-11-20T09:30:00Z")
        assert await run.status() is Status.COMPENSATED
        assert [(line.actor, line.action) for line in await run.audit()] == [("schedule a", "cancel")]


@on_a_loop
async def test_the_same_again_changes_nothing(database_url: str) -> None:
    """No occurrence is lost or repeated by it, not one that is due either; nor is a pause ended."""
    clock = VirtualClock(START)
    async with opened(database_url, clock, work=False) as web:
        for _ in range(3):
            await web.schedules.put("a", told, "x", every=HOUR)
            clock.advance(dt.timedelta(minutes=25))
        before = await web.schedules.put("a", told, "x", every=HOUR, paused=True)
        assert (before.paused, shown(before.next_at)) == (False, "20 09:30")
        async with opened(database_url, clock) as worker:
            assert shown(await worker.run_until_idle()) == "20 10:30"
            assert list(await runs(worker)) == ["20 09:30"]
            await worker.schedules.put("a", told, "x", every=HOUR)
            await worker.run_until_idle()
            assert list(await runs(worker)) == ["20 09:30"]
            await worker.schedules.pause("a")
            assert (await worker.schedules.put("a", told, "x", every=HOUR)).paused
        assert [line.action for line in await web.schedules.audit("a")] == ["put", "pause"]


@on_a_loop
async def test_another_plan_replaces_the_one_before(database_url: str) -> None:
    """What changes only in what is started keeps its times; another plan counts from now."""
    clock = VirtualClock(START)
    async with opened(database_url, clock, work=False) as coordinator:
        put = coordinator.schedules.put
        await put("a", told, "x", every=HOUR)
        clock.advance(dt.timedelta(minutes=65))
        assert shown((await put("a", told, "y", every=HOUR)).next_at) == "20 09:30"
    async with opened(database_url, clock) as coordinator:
        put = coordinator.schedules.put
        await coordinator.run_until_idle()
        run = await coordinator.get("a@2026-11-20T09:30:00Z")
        assert await run.result() == "y 2026-11-20 09:30:00+00:00"
        assert shown((await put("a", told, "y", every=2 * HOUR)).next_at) == "20 11:35"
        assert shown((await put("a", told, "y", cron="15 * * * *")).next_at) == "20 10:15"
        assert (await put("a", told, "y", cron="15 * * * *", overlap="skip")).overlap == "skip"
        await at(clock, coordinator, "20 10:20")
        assert list(await runs(coordinator)) == ["20 09:30", "20 10:15"]
        assert (await coordinator.schedules.get("a")).started == 2


@on_a_loop
async def test_what_occurs_in_a_pause_is_not_made_up_for(database_url: str) -> None:
    """Whatever `catch_up` says; who paused and resumed it is on record."""
    clock = VirtualClock(START)
    async with opened(database_url, clock) as coordinator:
        schedules = coordinator.schedules
        await schedules.put("a", told, every=HOUR, catch_up="all")
        await schedules.pause("a", by="ann")
        await schedules.pause("a", by="ann")
        assert (await schedules.get("a")).next_at is None
        clock.advance(5 * HOUR + HOUR / 2)
        assert await coordinator.run_until_idle() is None
        await schedules.resume("a", by="bob")
        await schedules.resume("a", by="bob")
        assert shown(await coordinator.run_until_idle()) == "20 14:30"
        assert await runs(coordinator) == {}
        trail = [(line.actor, line.action) for line in await schedules.audit("a")]
        assert trail == [("api", "put"), ("ann", "pause"), ("bob", "resume")]


@on_a_loop
async def test_what_waits_when_a_schedule_is_paused_counts_as_skipped(sqlite_url: str) -> None:
    """A paused schedule starts nothing, also not what came before."""
    clock = VirtualClock(START)
    async with opened(sqlite_url, clock) as coordinator:
        await coordinator.schedules.put("a", lasts, 1.5, every=HOUR, overlap="queue")
        await at(clock, coordinator, "20 10:45")
        await coordinator.schedules.pause("a")
        await at(clock, coordinator, "20 15:00")
        schedule = await coordinator.schedules.get("a")
        assert (schedule.started, schedule.skipped, schedule.waiting_at) == (1, 1, None)
        assert await statuses(coordinator) == {"20 09:30": "completed"}


@on_a_loop
async def test_a_schedule_may_be_new_and_paused(sqlite_url: str) -> None:
    """`paused=True` is for one that is new."""
    clock = VirtualClock(START)
    async with opened(sqlite_url, clock) as coordinator:
        schedule = await coordinator.schedules.put("a", told, every=HOUR, paused=True)
        assert (schedule.paused, schedule.next_at) == (True, None)
        await coordinator.schedules.resume("a")
        assert shown((await coordinator.schedules.get("a")).next_at) == "20 09:30"


@on_a_loop
async def test_a_deleted_schedule_is_gone_and_its_runs_go_on(database_url: str) -> None:
    """Put again, it doesn't repeat an occurrence whose run is there: that one counts as started (S17)."""
    clock = VirtualClock(START)
    async with opened(database_url, clock) as coordinator:
        schedules = coordinator.schedules
        await schedules.put("a", lasts, 5, cron="30 * * * *", overlap="skip")
        await at(clock, coordinator, "20 09:45")
        await schedules.delete("a", by="ann")
        for asked in (schedules.get, schedules.pause, schedules.resume, schedules.delete, schedules.trigger):
            with pytest.raises(ScheduleNotFound, match="'a'"):
                await asked("a")
        assert await coordinator.run_until_idle() is not None
        assert await statuses(coordinator) == {"20 09:30": "waiting"}
        assert [line.action for line in await schedules.audit("a")] == ["put", "delete"]
        clock._ms -= round(dt.timedelta(minutes=30) / dt.timedelta(milliseconds=1))  # noqa: SLF001 - as clocks do
        await schedules.put("a", lasts, 5, cron="30 * * * *", overlap="skip")
        await at(clock, coordinator, "20 09:45")
        schedule = await schedules.get("a")
        assert (schedule.last_run, schedule.started) == ("a@2026-11-20T09:30:00Z", 1)
        assert await statuses(coordinator) == {"20 09:30": "waiting"}


@on_a_loop
async def test_a_run_may_be_started_beside_the_plan(database_url: str) -> None:
    """Paused or not; it is told this moment, counts for nothing, and who asked is on record."""
    clock = VirtualClock(START)
    async with opened(database_url, clock) as coordinator:
        await coordinator.schedules.put("a", told, "x", every=HOUR, overlap="skip", paused=True)
        first, second = [await coordinator.schedules.trigger("a", by="ann") for _ in range(2)]
        assert first.id != second.id
        assert await first.result(10) == f"x {START}"
        schedule = await coordinator.schedules.get("a")
        assert (schedule.started, schedule.last_run) == (0, None)
        trail = await coordinator.schedules.audit("a")
        assert [(line.actor, line.action) for line in trail[1:]] == [("ann", "trigger")] * 2
        assert first.id in (trail[1].detail or "")


@on_a_loop
async def test_a_schedule_of_a_saga_that_is_not_served_here_is_ticked_all_the_same(
    database_url: str,
) -> None:
    """Only a row is written; whoever serves the saga takes the run."""
    clock = VirtualClock(START)
    async with opened(database_url, clock, sagas=[told]) as coordinator:
        await coordinator.schedules.put("a", lasts, 1, every=HOUR)
        await at(clock, coordinator, "20 09:45")
        assert await statuses(coordinator) == {"20 09:30": "ready"}
    async with opened(database_url, clock, sagas=[lasts]) as coordinator:
        await coordinator.run_until_idle()
        assert await statuses(coordinator) == {"20 09:30": "waiting"}


@on_a_loop
async def test_a_clock_that_goes_back_repeats_nothing_and_brings_nothing_early(database_url: str) -> None:
    """What has occurred isn't due again; what hasn't is due at its time."""
    clock = VirtualClock(START)
    async with opened(database_url, clock) as coordinator:
        await coordinator.schedules.put("a", told, every=HOUR)
        await at(clock, coordinator, "20 10:40")
        assert list(await runs(coordinator)) == ["20 09:30", "20 10:30"]
        clock._ms -= round(2 * HOUR / dt.timedelta(milliseconds=1))  # noqa: SLF001 - as clocks do
        assert shown(await coordinator.run_until_idle()) == "20 11:30"
        await at(clock, coordinator, "20 11:29")
        assert len(await runs(coordinator)) == 2
        await at(clock, coordinator, "20 11:30")
        assert list(await runs(coordinator)) == ["20 09:30", "20 10:30", "20 11:30"]


@on_a_loop
async def test_the_sagas_deadline_counts_from_the_start(sqlite_url: str) -> None:
    """As for any run; the worker that starts it needn't know the saga."""

    @saga(name="schedules.deadline", deadline=HOUR)
    async def overdue() -> None:
        await sleep(DAY)

    clock = VirtualClock(START)
    async with opened(sqlite_url, clock) as coordinator:
        await coordinator.schedules.put("a", overdue, every=DAY)
        await at(clock, coordinator, "21 09:00")
        assert shown((await runs(coordinator))["21 08:30"].deadline_at) == "21 09:30"
        await at(clock, coordinator, "21 10:00")
        assert list((await statuses(coordinator)).values()) == ["failed"]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"id": ""}, "schedule's id"),
        ({"id": "x" * 161}, "160"),
        ({"id": "a\0"}, "printable"),
        ({"catch_up": "some"}, "latest, all, none"),
        ({"overlap": "wait"}, "allow, skip, queue, cancel_previous"),
        ({"cron": "never"}, "five fields"),
        ({"every": HOUR, "cron": "0 9 * * *"}, "either"),
    ],
)
@on_a_loop
async def test_what_a_schedule_can_not_be_is_refused(sqlite_url: str, wrong: Any, words: str) -> None:
    """House style 5: checked where it is given; nothing is written."""
    options: dict[str, Any] = {"id": "a", "cron": "0 9 * * *", **wrong}
    async with Coordinator(sqlite_url) as coordinator:
        with pytest.raises(InputInvalid, match=words):
            await coordinator.schedules.put(options.pop("id"), told, **options)
        assert await coordinator.schedules.list() == []


@on_a_loop
async def test_input_that_does_not_fit_is_refused_when_it_is_put(sqlite_url: str) -> None:
    """S26: long before the first occurrence."""
    async with Coordinator(sqlite_url, max_payload=100) as coordinator:
        put: Any = coordinator.schedules.put
        with pytest.raises(InputInvalid, match="told"):
            await put("a", told, 5, every=HOUR)
        with pytest.raises(PayloadTooLarge):
            await put("a", told, "x" * 100, every=HOUR)
        with pytest.raises(DefinitionError, match="@saga"):
            await put("a", len, every=HOUR)
        with pytest.raises(ScheduleNotFound):
            await coordinator.schedules.get("a")
        with pytest.raises(ScheduleNotFound):
            await coordinator.schedules.get("\ud800")


@on_a_loop
async def test_schedules_are_listed_page_by_page(database_url: str) -> None:
    """By their ids."""
    async with Coordinator(database_url) as coordinator:
        for name in "dbac":
            await coordinator.schedules.put(name, told, cron="0 9 * * *", timezone="Europe/Berlin")
        page = await coordinator.schedules.list(limit=3)
        assert [schedule.id for schedule in page] == ["a", "b", "c"]
        assert [schedule.id for schedule in await coordinator.schedules.list(after="c")] == ["d"]
        assert isinstance(page[0], Schedule)
        assert (page[0].cron, page[0].timezone, page[0].catch_up) == ("0 9 * * *", "Europe/Berlin", "latest")


def test_a_script_has_schedules_too(database_url: str) -> None:
    """The blocking door has the same methods."""
    clock = VirtualClock(START)
    with Coordinator.sync(database_url, clock=clock) as coordinator:
        schedules = coordinator.schedules
        assert schedules.put("a", told, "x", every=HOUR).id == "a"
        clock.run_sync(coordinator, until=START + HOUR)
        assert coordinator.get("a@2026-11-20T09:30:00Z").result(10) == "x 2026-11-20 09:30:00+00:00"
        assert schedules.trigger("a").result(10).startswith("x 2026")
        schedules.pause("a", by="ann")
        assert schedules.get("a").paused
        schedules.resume("a")
        assert [schedule.id for schedule in schedules.list()] == ["a"]
        schedules.delete("a")
        assert [line.action for line in schedules.audit("a")][-2:] == ["resume", "delete"]
