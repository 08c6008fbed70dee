"""Queues of a coordinator: how many runs go on at once, how many begin in a time, and in which order."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from amends.sagas import (
    Coordinator,
    DefinitionError,
    Fatal,
    InputInvalid,
    Queue,
    QueueNotFound,
    Rate,
    Report,
    RunFailed,
    RunParked,
    Status,
    Undo,
    continue_as_new,
    receive,
    saga,
    sleep,
    step,
)
from amends.sagas.testing import VirtualClock
from tests.sagas.running import ONCE, Gate, ended, on_a_loop

MINUTE = dt.timedelta(minutes=1)
SHORT = dt.timedelta(milliseconds=5)


class Seen:
    """Who went on at once, at most, in all and of one key; and in which order they began."""

    def __init__(self) -> None:
        self.going = Counter[str]()
        self.most = Counter[str]()
        self.order: list[str] = []
        self.gates: dict[str, Gate] = {}
        self.told: list[str] = []

    def begins(self, what: str, key: str) -> None:
        self.order.append(what)
        for counted in ("all", key):
            self.going[counted] += 1
            self.most[counted] = max(self.most[counted], self.going[counted])

    def ends(self, key: str) -> None:
        self.going.subtract(["all", key])


SEEN = Seen()


@pytest.fixture(autouse=True)
def _anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "SEEN", Seen())


@step(name="queues.begin", retry=ONCE)
async def begin(what: str, key: str) -> str:
    SEEN.begins(what, key)
    if what in SEEN.gates:
        await SEEN.gates[what].wait()
    return what


@begin.compensation(name="queues.give_back", retry=ONCE)
async def give_back(undo: Undo[str], what: str, key: str) -> None:
    if f"-{what}" in SEEN.gates:
        await SEEN.gates[f"-{what}"].wait()
    SEEN.order.append(f"-{what}")


@step(name="queues.end", retry=ONCE)
async def end(what: str, key: str) -> None:
    SEEN.ends(key)
    if what.startswith("bad"):
        raise Fatal(what)


@saga(name="queues.send", queue="mail", key=lambda _what, key: key)
async def send(what: str, key: str) -> str:
    await begin(what, key)
    await sleep(SHORT)
    await end(what, key)
    return what


@saga(name="queues.post", queue="mail")
async def post(what: str) -> str:
    return await begin(what, "-")


@saga(name="queues.plain")
async def plain(what: str) -> str:
    return what


@saga(name="queues.waits", queue="mail")
async def waits(what: str) -> str:
    await begin(what, "-")
    word: str = await receive(str, name="go")
    return word


@saga(name="queues.parent", queue="mail")
async def parent(what: str) -> str:
    return await post(f"{what}'s child")


@saga(name="queues.herd")
async def herd(count: int) -> list[str]:
    return await asyncio.gather(*(send(f"child {n}", f"k{n}") for n in range(count)))


async def until(true: Callable[[], bool]) -> None:
    """Wait until something is so."""
    for _ in range(3_000):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never was so")


@on_a_loop
async def test_limits_hold_over_coordinators_and_everybody_gets_a_turn(database_url: str) -> None:
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(Coordinator(database_url)) for _ in range(3)]
        await workers[0].queues.put("mail", concurrency=3, per_key=1)
        runs = [await workers[n % 3].start(send, f"m{n}", f"k{n % 5}") for n in range(24)]
        assert [await run.result(30) for run in runs] == [f"m{n}" for n in range(24)]
    assert 2 <= SEEN.most["all"] <= 3
    assert {SEEN.most[f"k{n}"] for n in range(5)} == {1}


@on_a_loop
async def test_a_run_that_waits_is_queued_and_shows_in_counts_and_lists(database_url: str) -> None:
    SEEN.gates["a"] = gate = Gate()
    async with Coordinator(database_url) as coordinator:
        await coordinator.queues.put("mail", concurrency=1)
        first = await coordinator.start(post, "a", id="a")
        await gate.reached.wait()
        second = await coordinator.start(post, "b", id="b")
        assert await second.status() is Status.QUEUED
        assert [info.id for info in await coordinator.list(status="queued")] == ["b"]
        assert [info.id for info in await coordinator.list(status="waiting")] == []
        (queue,) = await coordinator.queues.list()
        assert (queue.queued, queue.going, queue.concurrency) == (1, 1, 1)
        assert queue.oldest is not None
        gate.opened.set()
        assert [await run.result(30) for run in (first, second)] == ["a", "b"]


@on_a_loop
async def test_those_of_smaller_priority_begin_first(database_url: str) -> None:
    async with Coordinator(database_url) as coordinator:
        await coordinator.queues.pause("mail")
        runs = [await coordinator.start(post, f"{n}", priority=n) for n in (5, -3, 0, 2)]
        await coordinator.queues.put("mail", concurrency=1)
        assert {await run.status() for run in runs} == {Status.QUEUED}
        await coordinator.queues.resume("mail")
        for run in runs:
            await run.result(30)
    assert SEEN.order == ["-3", "0", "2", "5"]


@on_a_loop
async def test_runs_begin_in_the_order_of_their_starts(database_url: str) -> None:
    async with Coordinator(database_url) as coordinator:
        await coordinator.queues.pause("mail")
        runs = [await coordinator.start(post, f"{n}") for n in range(40)]
        await coordinator.queues.put("mail", concurrency=1)
        await coordinator.queues.resume("mail")
        for run in runs:
            await run.result(30)
    assert SEEN.order == [f"{n}" for n in range(40)]


@on_a_loop
async def test_limits_change_while_runs_wait(database_url: str) -> None:
    for what in "abc":
        SEEN.gates[what] = Gate()
    async with Coordinator(database_url) as coordinator:
        await coordinator.queues.put("mail", concurrency=1)
        runs = [await coordinator.start(post, what) for what in "abc"]
        await SEEN.gates["a"].reached.wait()
        assert SEEN.order == ["a"]
        await coordinator.queues.put("mail", concurrency=2)
        await SEEN.gates["b"].reached.wait()
        assert SEEN.order == ["a", "b"]
        await coordinator.queues.delete("mail")
        await SEEN.gates["c"].reached.wait()
        for what in "abc":
            SEEN.gates[what].opened.set()
        assert [await run.result(30) for run in runs] == ["a", "b", "c"]
        acts = [row.action for row in await coordinator.queues.audit("mail")]
        assert acts == ["put", "put", "delete"]


@on_a_loop
async def test_no_more_begin_within_a_time_than_the_rate_says(database_url: str) -> None:
    clock = VirtualClock()
    async with Coordinator(database_url, clock=clock) as coordinator:
        await coordinator.queues.put("mail", rate=Rate(5, per=MINUTE))
        began = clock.now
        for n in range(17):
            await coordinator.start(post, f"{n}")
        await coordinator.run_until_idle()
        assert len(SEEN.order) == 5
        await clock.run(coordinator)
        assert len(SEEN.order) == 17
        assert 3 * MINUTE <= clock.now - began <= 3 * MINUTE + dt.timedelta(seconds=1)


@on_a_loop
async def test_each_worker_holds_as_many_as_it_may(database_url: str) -> None:
    for n in range(5):
        SEEN.gates[f"{n}"] = Gate()
    async with Coordinator(database_url, work=False) as client:
        await client.queues.put("mail", per_worker=2)
        runs = [await client.start(post, f"{n}") for n in range(5)]
        async with Coordinator(database_url), Coordinator(database_url):
            await until(lambda: len(SEEN.order) == 4)
            assert [await run.status() for run in runs].count(Status.RUNNING) == 4
            for gate in SEEN.gates.values():
                gate.opened.set()
            assert sorted([await run.result(30) for run in runs]) == [f"{n}" for n in range(5)]


@on_a_loop
async def test_a_worker_serves_the_queues_that_it_was_given(database_url: str) -> None:
    async with (
        Coordinator(database_url, queues=["default"]) as some,
        Coordinator(database_url, work=False) as client,
    ):
        mail = await client.start(post, "a")
        assert await (await client.start(plain, "b")).result(30) == "b"
        await some.run_until_idle()
        assert await mail.status() is Status.QUEUED
        async with Coordinator(database_url, queues=["mail", "other"]) as others:
            assert await mail.result(30) == "a"
            alone = await client.start(plain, "c")
            assert await alone.result(30) == "c"
            await others.run_until_idle()


@on_a_loop
async def test_a_worker_of_a_queue_leaves_runs_without_one_alone_even_those_started_there(
    database_url: str,
) -> None:
    async with Coordinator(database_url, queues=["mail"]) as mails:
        run = await mails.start(plain, "c")
        await mails.run_until_idle()
        assert await run.status() is Status.READY
        async with Coordinator(database_url):
            assert await run.result(30) == "c"


@on_a_loop
async def test_a_child_takes_no_second_place_in_the_queue_of_a_run_above_it(database_url: str) -> None:
    """L1: it would wait for what waits for it."""
    async with Coordinator(database_url) as coordinator:
        await coordinator.queues.put("mail", concurrency=1)
        runs = [await coordinator.start(parent, what) for what in ("a", "b")]
        assert [await run.result(30) for run in runs] == ["a's child", "b's child"]


@on_a_loop
async def test_children_of_a_run_outside_wait_like_others(database_url: str) -> None:
    async with Coordinator(database_url) as coordinator:
        await coordinator.queues.put("mail", concurrency=2)
        run = await coordinator.start(herd, 9)
        assert await run.result(30) == [f"child {n}" for n in range(9)]
    assert SEEN.most["all"] == 2


@on_a_loop
async def test_undoing_keeps_the_place_until_it_is_done(database_url: str) -> None:
    """S5: what is to be undone is undone, and nobody begins beside it."""
    SEEN.gates["-bad"] = gate = Gate()
    async with Coordinator(database_url) as coordinator:
        await coordinator.queues.put("mail", concurrency=1)
        bad = await coordinator.start(send, "bad", "k")
        await gate.reached.wait()
        good = await coordinator.start(send, "good", "k")
        await coordinator.queues.pause("mail")
        assert await good.status() is Status.QUEUED
        gate.opened.set()
        assert await ended(bad) is Status.COMPENSATED
        await coordinator.queues.resume("mail")
        assert await good.result(30) == "good"
    assert SEEN.order == ["bad", "-bad", "good"]


@on_a_loop
async def test_a_run_that_is_cancelled_in_the_queue_never_begins(database_url: str) -> None:
    async with Coordinator(database_url) as coordinator:
        await coordinator.queues.pause("mail")
        run = await coordinator.start(post, "a")
        await run.cancel()
        assert await ended(run) is Status.CANCELLED
        assert SEEN.order == []
        assert (await coordinator.queues.get("mail")).queued == 0


@saga(name="queues.in_time", queue="mail", deadline=dt.timedelta(minutes=2))
async def in_time(what: str) -> str:
    return await begin(what, "-")


@on_a_loop
async def test_a_deadline_passes_in_the_queue(database_url: str) -> None:
    clock = VirtualClock()
    async with Coordinator(database_url, clock=clock) as coordinator:
        await coordinator.queues.pause("mail")
        run = await coordinator.start(in_time, "a")
        await clock.run(coordinator)
        with pytest.raises(RunFailed):
            await run.result(30)
        assert SEEN.order == []


@on_a_loop
async def test_a_signal_waits_with_the_run_that_it_started(database_url: str) -> None:
    async with Coordinator(database_url) as coordinator:
        await coordinator.queues.pause("mail")
        run = await coordinator.signal_or_start(waits, "w", id="w", name="go", payload="gone")
        assert await run.status() is Status.QUEUED
        assert SEEN.order == []
        await coordinator.queues.resume("mail")
        assert await run.result(30) == "gone"


@on_a_loop
async def test_a_sleeper_keeps_its_place_and_wakes_without_waiting(database_url: str) -> None:
    async with Coordinator(database_url) as coordinator:
        await coordinator.queues.put("mail", concurrency=1)
        first = await coordinator.start(waits, "a", id="a")
        await coordinator.run_until_idle()
        assert await first.status() is Status.WAITING
        second = await coordinator.start(post, "b")
        await coordinator.run_until_idle()
        assert await second.status() is Status.QUEUED
        await coordinator.queues.pause("mail")
        await coordinator.signal("a", "go", "on")
        assert await first.result(30) == "on"
        await coordinator.queues.resume("mail")
        assert await second.result(30) == "b"


@on_a_loop
async def test_a_start_within_a_callers_transaction_waits_too(database_url: str) -> None:
    async with Coordinator(database_url) as coordinator:
        await coordinator.queues.pause("mail")
        with coordinator.engine.begin() as connection:
            run = await coordinator.start(post, "a", connection=connection)
        assert await run.status() is Status.QUEUED
        await coordinator.queues.resume("mail")
        assert await run.result(30) == "a"


@on_a_loop
async def test_a_schedules_runs_wait_in_their_queue(database_url: str) -> None:
    clock = VirtualClock()
    async with Coordinator(database_url, clock=clock) as coordinator:
        await coordinator.queues.put("mail", concurrency=1)
        blocker = await coordinator.start(waits, "blocks", id="blocks")
        await coordinator.schedules.put("hourly", send, "tick", "k", every=dt.timedelta(hours=1))
        await clock.run(coordinator, until=clock.now + dt.timedelta(hours=3))
        assert len(await coordinator.list(status="queued")) == 3
        triggered = await coordinator.schedules.trigger("hourly")
        assert await triggered.status() is Status.QUEUED
        await coordinator.signal("blocks", "go", "on")
        await blocker.result(30)
        await coordinator.schedules.pause("hourly")
        await clock.run(coordinator)
        assert SEEN.order == ["blocks", *["tick"] * 4]


@saga(name="queues.again", queue="mail")
async def again(left: int) -> str:
    await begin(f"again {left}", "-")
    if left:
        await continue_as_new(left - 1)
    return "done"


@on_a_loop
async def test_a_run_that_begins_anew_keeps_its_place(database_url: str) -> None:
    async with Coordinator(database_url) as coordinator:
        await coordinator.queues.put("mail", rate=Rate(1, per=dt.timedelta(days=1)))
        run = await coordinator.start(again, 3)
        assert await run.result(30) == "done"


@saga(name="queues.tells", queue="mail")
async def tells(what: str) -> str:
    return what


@tells.on_complete(name="queues.told")
async def told(report: Report[str]) -> None:
    SEEN.told.append(report.run_id)


@on_a_loop
async def test_handlers_wait_for_no_place(database_url: str) -> None:
    async with Coordinator(database_url) as coordinator:
        await coordinator.queues.put("mail", rate=Rate(1, per=dt.timedelta(days=1)))
        run = await coordinator.start(tells, "x", id="x")
        await run.result(30)
        await coordinator.run_until_idle()
        assert SEEN.told == ["x"]


@on_a_loop
async def test_a_parked_run_makes_room_and_ends_when_a_person_has_seen_to_it(database_url: str) -> None:
    """L3."""
    async with Coordinator(database_url) as coordinator:
        await coordinator.queues.put("mail", concurrency=1)
        stuck = await coordinator.start(stuck_one, "s", id="s")
        with pytest.raises(RunParked):
            await stuck.result(30)
        assert await (await coordinator.start(post, "b")).result(30) == "b"
        await coordinator.operator("ann").skip("s", "queues.sticky", reason="seen to by hand")
        assert await ended(stuck) is Status.PARTIALLY_COMPENSATED


@step(name="queues.sticky", retry=ONCE)
async def sticky(what: str) -> str:
    return what


@sticky.compensation(name="queues.unstick", retry=ONCE)
async def unstick(undo: Undo[str], what: str) -> None:
    raise OSError(what)


@saga(name="queues.stuck", queue="mail")
async def stuck_one(what: str) -> None:
    await sticky(what)
    await end("bad", "-")


def test_through_the_blocking_door(sqlite_url: str) -> None:
    with Coordinator.sync(sqlite_url) as coordinator:
        queue = coordinator.queues.put("mail", concurrency=2, rate=Rate(7, per=MINUTE))
        assert queue == Queue(
            "mail", 2, None, 1, Rate(7, per=MINUTE), paused=False, queued=0, oldest=None, going=0
        )
        coordinator.queues.pause("mail", by="ann")
        run = coordinator.start(post, "a", priority=3)
        assert run.status() is Status.QUEUED
        coordinator.queues.resume("mail", by="ann")
        assert run.result(30) == "a"
        assert [row.actor for row in coordinator.queues.audit("mail")] == ["api", "ann", "ann"]
        coordinator.queues.delete("mail")
        assert coordinator.queues.list() == []


BAD_LIMITS: list[dict[str, Any]] = [
    {"concurrency": 0},
    {"concurrency": -1},
    {"concurrency": 1.5},
    {"concurrency": True},
    {"per_key": 0},
    {"per_worker": "2"},
    {"rate": 5},
    {"rate": (5, MINUTE)},
]


@on_a_loop
@pytest.mark.parametrize("limits", BAD_LIMITS, ids=str)
async def test_limits_that_are_none_are_refused(sqlite_url: str, limits: dict[str, Any]) -> None:
    async with Coordinator(sqlite_url) as coordinator:
        with pytest.raises(InputInvalid):
            await coordinator.queues.put("mail", **limits)
        assert await coordinator.queues.list() == []


@pytest.mark.parametrize(
    ("count", "per"), [(0, MINUTE), (5, dt.timedelta(0)), (5, dt.timedelta(days=32)), (True, MINUTE), (5, 60)]
)
def test_a_rate_that_is_none_is_refused(count: Any, per: Any) -> None:
    with pytest.raises(InputInvalid):
        Rate(count, per=per)


@on_a_loop
@pytest.mark.parametrize("name", ["", "a b", "x" * 101, "ä", "default", None, 7, "a,b"])
async def test_names_that_are_none_are_refused(sqlite_url: str, name: Any) -> None:
    async with Coordinator(sqlite_url) as coordinator:
        for act in (coordinator.queues.put, coordinator.queues.pause, coordinator.queues.resume):
            with pytest.raises(InputInvalid):
                await act(name)
    with pytest.raises(InputInvalid):
        Coordinator(sqlite_url, queues=["mail", name] if name != "default" else "default")
    if name is not None:
        with pytest.raises(DefinitionError):
            saga(name="queues.misnamed", queue=name)(plain.fn)


@on_a_loop
async def test_a_queue_that_is_not_there_is_not_found(sqlite_url: str) -> None:
    async with Coordinator(sqlite_url) as coordinator:
        for act in (coordinator.queues.get, coordinator.queues.delete):
            with pytest.raises(QueueNotFound, match="'mail'"):
                await act("mail")


@saga(name="queues.keyed", queue="mail", key=lambda value: value["key"])
async def keyed(value: dict[str, Any]) -> None: ...


@saga(name="queues.keyed_child")
async def keyed_child(value: dict[str, Any]) -> str:
    try:
        await keyed(value)
    except RunFailed as failed:
        return str(failed)
    return "fine"


@on_a_loop
@pytest.mark.parametrize(
    "value", [{}, {"key": 5}, {"key": ""}, {"key": "x" * 201}, {"key": "a\nb"}, {"key": None}], ids=str
)
async def test_a_key_that_is_none_is_refused_before_anything_is_stored(
    sqlite_url: str, value: dict[str, Any]
) -> None:
    async with Coordinator(sqlite_url) as coordinator:
        with pytest.raises(InputInvalid, match="key="):
            await coordinator.start(keyed, value)
        with pytest.raises(InputInvalid, match="key="):
            await coordinator.schedules.put("s", keyed, value, every=MINUTE)
        assert await coordinator.list() == []
        child = await coordinator.start(keyed_child, value)
        with pytest.raises(RunFailed, match="key="):
            await child.result(30)


@on_a_loop
async def test_a_priority_that_is_none_is_refused(sqlite_url: str) -> None:
    async with Coordinator(sqlite_url) as coordinator:
        bad: list[Any] = [1.5, "1", True, 10**7, None]
        for priority in bad:
            with pytest.raises(InputInvalid, match="priority"):
                await coordinator.start(post, "a", priority=priority)
        with pytest.raises(InputInvalid, match="has none"):
            await coordinator.start(plain, "a", priority=1)


@pytest.mark.parametrize(("queue", "key"), [(None, str), ("mail", "k"), ("mail", 5)])
def test_a_key_takes_a_queue_and_is_a_function(queue: Any, key: Any) -> None:
    with pytest.raises(DefinitionError, match="key="):
        saga(name="queues.bad_key", queue=queue, key=key)(plain.fn)
