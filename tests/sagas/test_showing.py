"""Attributes and progress: said in bodies and steps, found in lists, replayed without effect."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event

from amends.sagas import (
    Coordinator,
    InputInvalid,
    Kind,
    OutsideRun,
    RunInfo,
    Status,
    Undo,
    continue_as_new,
    receive,
    saga,
    set_attributes,
    set_progress,
    sleep,
    step,
)
from amends.sagas.attributes import LONGEST_TEXT, MOST
from amends.sagas.exported import load_run
from amends.sagas.testing import crash_test, simulate
from tests.sagas.running import Clock, Gate, ended, kinds, on_a_loop
from tests.sagas.test_counts import counted

NOON = dt.datetime(2026, 11, 22, 12, 30, 0, 250, tzinfo=dt.timezone(dt.timedelta(hours=2)))
HOUR = dt.timedelta(hours=1)


async def info_of(coordinator: Coordinator, run_id: str) -> RunInfo:
    """Give a run as a list shows it."""
    return next(info for info in await coordinator.list() if info.id == run_id)


@step(name="showing.does")
async def does(number: int) -> int:
    return number


@step(name="showing.looks", effect="read")
async def looks(number: int) -> int:
    return number


@saga(name="showing.says")
async def says(values: dict[str, Any]) -> None:
    set_attributes(**values)


@saga(name="showing.sells")
async def sells(customer: str, tier: int) -> str:
    set_attributes(customer=customer, tier=tier, paid=False)
    set_progress(0, 2, "reserving")
    await does(1)
    set_progress(1, 2, "waiting")
    await sleep(HOUR)
    set_attributes(paid=True, tier=None)
    set_progress(2, 2)
    return customer


@on_a_loop
async def test_what_a_body_says_stands_with_its_run(database_url: str) -> None:
    """S23: written with the turn; read with the run's row, by any process."""
    clock = Clock()
    async with (
        Coordinator(database_url, clock=clock) as coordinator,
        Coordinator(database_url, clock=clock, work=False) as elsewhere,
    ):
        run = await coordinator.start(sells, "C-7", 2)
        await coordinator.run_until_idle()
        info = await info_of(elsewhere, run.id)
        assert info.attributes == {"customer": "C-7", "tier": 2, "paid": False}
        assert info.progress is not None
        assert (info.progress.done, info.progress.total, info.progress.text) == (1, 2, "waiting")
        assert info.progress.fraction == 0.5
        assert info.progress.at == dt.datetime.fromtimestamp(clock.now / 1000, dt.UTC)
        clock.move(HOUR)
        await coordinator.run_until_idle()
        info = await info_of(elsewhere, run.id)
        assert (info.status, info.attributes) == (Status.COMPLETED, {"customer": "C-7", "paid": True})
        assert info.progress is not None
        assert (info.progress.done, info.progress.text) == (2, None)
        assert await elsewhere.list(attributes={"tier": 2}) == []


@on_a_loop
async def test_replay_says_nothing_again(database_url: str) -> None:
    """Section 3: a run that is loaded is replayed without effect; each thing said is one entry."""
    clock = Clock()
    async with Coordinator(database_url, clock=clock) as coordinator:
        run = await coordinator.start(sells, "C-7", 2)
    async with Coordinator(database_url, clock=clock) as coordinator:
        clock.move(HOUR)
        await coordinator.run_until_idle()
        run = await coordinator.get(run.id)
        assert await ended(run) is Status.COMPLETED
        said = await kinds(run)
        assert said.count(Kind.ATTRIBUTES) == 2
        assert said.count(Kind.PROGRESS) == 3
        document = load_run(await run.export())
        told = [entry.meta["set"] for entry in document.entries if entry.kind is Kind.ATTRIBUTES]
        assert told == [{"customer": "C-7", "tier": 2, "paid": False}, {"paid": True, "tier": None}]


@on_a_loop
async def test_code_may_say_more_or_less_than_when_a_run_began(database_url: str) -> None:
    """What is said takes no number and is not compared: adding or removing it parks nobody."""
    clock = Clock()

    def define(before: Callable[[], None], after: Callable[[], None]) -> Any:
        @saga(name="showing.changes")
        async def changes() -> int:
            before()
            await does(1)
            await sleep(HOUR)
            after()
            return await does(2)

        return changes

    def nothing() -> None: ...

    def old() -> None:
        set_attributes(code="old", extra=1)

    def new() -> None:
        set_attributes(code="new", more=2)
        set_progress(9)

    for number, (first, then) in enumerate([(nothing, new), (old, nothing), (old, new), (new, old)]):
        run_id = f"run-{number}"
        async with Coordinator(database_url, clock=clock) as coordinator:
            await coordinator.start(define(first, nothing), id=run_id)
            await coordinator.run_until_idle()
            shown = (await info_of(coordinator, run_id)).attributes
        define(then, nothing)
        async with Coordinator(database_url, clock=clock) as coordinator:
            clock.move(HOUR)
            await coordinator.run_until_idle()
            assert await (await coordinator.get(run_id)).result(10) == 2
            # What other code would have said long ago isn't said now.
            assert (await info_of(coordinator, run_id)).attributes == shown


@on_a_loop
async def test_runs_are_found_by_all_that_is_asked_for(database_url: str) -> None:
    """Attributes, status, saga, since, limit and after together, newest first."""
    clock = Clock()
    async with Coordinator(database_url, clock=clock) as coordinator:
        for number in range(12):
            clock.move(dt.timedelta(seconds=1))
            await coordinator.start(sells, f"C-{number % 2}", number % 3, id=f"run-{number:02}")
        await coordinator.start(says, {"customer": "C-1", "tier": 1}, id="says")
        await coordinator.run_until_idle()
        since = dt.datetime.fromtimestamp(clock.now / 1000 - 7, dt.UTC)

        async def found(**asked: Any) -> list[str]:
            return [info.id.removeprefix("run-") for info in await coordinator.list(**asked)]

        one = {"customer": "C-1", "tier": 1}
        assert await found(attributes=one) == ["says", "07", "01"]
        assert await found(attributes=one, saga="showing.sells") == ["07", "01"]
        assert await found(attributes=one, saga="showing.sells", since=since) == ["07"]
        assert await found(attributes=one, status="waiting", limit=1) == ["07"]
        assert await found(attributes=one, status="waiting", limit=1, after="run-07") == ["01"]
        assert await found(attributes=one, status=Status.COMPLETED) == ["says"]
        assert await found(attributes={"customer": "C-1", "nothing": 1}) == []
        assert await found(attributes={"customer": "C-0"}, limit=2, after="run-08") == ["06", "04"]
        assert len(await found(attributes={})) == 13


@pytest.mark.parametrize(
    ("value", "found_by", "not_by"),
    [
        ("7", ["7"], [7, True]),
        (7, [7, 7.0], ["7", 7.5]),
        (1, [1, 1.0], [True, "1"]),
        (True, [True], [1, "True", "true", False]),
        (0.1 + 0.2, [0.30000000000000004], [0.3]),
        (-0.0, [0, 0.0], [False]),
        (2**63 - 1, [2**63 - 1], [2**63 - 2]),
        (1e300, [1e300], [1e299]),
        ('it\'s "ünï"\n{}', ['it\'s "ünï"\n{}'], ["it's"]),
        ("", [""], ["''"]),
        (NOON, [NOON, NOON.astimezone(dt.UTC)], [NOON.isoformat(), NOON + dt.timedelta(microseconds=1)]),
    ],
)
@on_a_loop
async def test_a_value_comes_back_as_it_was_and_is_found_by_its_equals(
    value: Any, found_by: list[Any], not_by: list[Any], database_url: str
) -> None:
    """On both databases alike; values of two kinds are never equal."""

    @saga(name="showing.one")
    async def one() -> None:
        set_attributes(it=value)

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(one)
        await run.result(20)
        info = await info_of(coordinator, run.id)
        assert info.attributes == {"it": value}
        assert type(info.attributes["it"]) is type(value)
        for equal in found_by:
            assert [found.id for found in await coordinator.list(attributes={"it": equal})] == [run.id]
        for other in not_by:
            assert await coordinator.list(attributes={"it": other}) == []


REFUSED: dict[str, tuple[Callable[[], None], str]] = {
    "a space in the name": (lambda: set_attributes(**{"a b": 1}), "identifier"),
    "a name of 65": (lambda: set_attributes(**{"a" * 65: 1}), "64 characters"),
    "an empty name": (lambda: set_attributes(**{"": 1}), "identifier"),
    "a naive datetime": (lambda: set_attributes(at=dt.datetime(2026, 1, 1)), "time zone"),  # noqa: DTZ001 - refused
    "not a number": (lambda: set_attributes(x=float("nan")), "finite"),
    "infinite": (lambda: set_attributes(x=float("inf")), "finite"),
    "65 bits": (lambda: set_attributes(x=2**63), "64 bits"),
    "a NUL": (lambda: set_attributes(x="a\0b"), "can't be stored"),
    "half a character": (lambda: set_attributes(x="\ud800"), "can't be stored"),
    "a text of 501": (lambda: set_attributes(x="a" * (LONGEST_TEXT + 1)), "501 characters"),
    "a list": (lambda: set_attributes(x=[1]), "an attribute is"),  # type: ignore[arg-type]
    "bytes": (lambda: set_attributes(x=b"1"), "an attribute is"),  # type: ignore[arg-type]
    "a date": (lambda: set_attributes(x=dt.date(2026, 1, 1)), "an attribute is"),  # type: ignore[arg-type]
    "65 attributes": (lambda: set_attributes(**{f"a{n}": n for n in range(MOST + 1)}), "64 attributes"),
    "less than nothing": (lambda: set_progress(-1), "0 or more"),
    "progress that is no number": (lambda: set_progress(float("nan")), "finite"),
    "a flag": (lambda: set_progress(True), "0 or more"),
    "a negative total": (lambda: set_progress(1, -2), "0 or more"),
    "a text for a total": (lambda: set_progress(1, "2"), "0 or more"),  # type: ignore[arg-type]
    "a number for a text": (lambda: set_progress(1, 2, 3), "a text"),  # type: ignore[arg-type]
    "a long text": (lambda: set_progress(1, 2, "a" * (LONGEST_TEXT + 1)), "501 characters"),
}


@pytest.mark.parametrize("what", REFUSED)
@on_a_loop
async def test_what_cannot_be_shown_is_refused_where_it_is_said(what: str, sqlite_url: str) -> None:
    """In a body and in a step alike; what was said before stays as it is."""
    say, words = REFUSED[what]

    @step(name="showing.says_in_a_step")
    async def says_in_a_step() -> str:
        with pytest.raises(InputInvalid, match=words):
            say()
        return words

    @saga(name="showing.refused")
    async def refused() -> str:
        set_attributes(before=1)
        with pytest.raises(InputInvalid, match=words):
            say()
        return await says_in_a_step()

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(refused)
        assert await run.result(20) == words
        info = await info_of(coordinator, run.id)
        assert (info.attributes, info.progress) == ({"before": 1}, None)


@pytest.mark.parametrize("wanted", [{"x": None}, {"a b": 1}, {"x": [1]}, [("x", 1)], "x"])
@on_a_loop
async def test_a_search_that_means_nothing_is_refused(wanted: Any, sqlite_url: str) -> None:
    async with Coordinator(sqlite_url, work=False) as coordinator:
        with pytest.raises(InputInvalid):
            await coordinator.list(attributes=wanted)
        with pytest.raises(InputInvalid):
            coordinator.watch(attributes=wanted)


def test_outside_a_run_there_is_nothing_to_say_it_of() -> None:
    with pytest.raises(OutsideRun):
        set_attributes(customer="C-7")
    with pytest.raises(OutsideRun):
        set_progress(1)


@on_a_loop
async def test_a_run_may_exchange_its_attributes_but_not_pile_them_up(sqlite_url: str) -> None:
    """Also over a new beginning, whose body doesn't know what the one before has said; and replayed."""
    clock = Clock()

    @saga(name="showing.piles")
    async def piles(beginning: int = 0) -> str:
        if beginning < 2:
            set_attributes(**{f"a{n}": beginning for n in range(MOST)})
            await continue_as_new(beginning + 1)
        with pytest.raises(InputInvalid, match="64 attributes"):
            set_attributes(one_more=1)
        set_attributes(a0=None, one_more=2)
        await sleep(HOUR)
        with pytest.raises(InputInvalid, match="64 attributes"):
            set_attributes(two_more=1)
        return "done"

    async with Coordinator(sqlite_url, clock=clock) as coordinator:
        run = await coordinator.start(piles)
        await coordinator.run_until_idle()
        clock.move(HOUR)
        await coordinator.run_until_idle()
        assert await run.result(10) == "done"
        shown = (await info_of(coordinator, run.id)).attributes
        assert len(shown) == MOST
        assert (shown["one_more"], shown["a1"]) == (2, 1)


@on_a_loop
async def test_what_steps_beside_each_other_pile_up_is_cut_off_and_audited(sqlite_url: str) -> None:
    both, told = asyncio.Barrier(2), [0]

    @step(name="showing.piles_up")
    async def piles_up(name: str) -> None:
        await both.wait()
        set_attributes(**{f"{name}{n}": n for n in range(40)})
        told[0] += 1
        await both.wait()

    @saga(name="showing.two")
    async def two() -> None:
        await asyncio.gather(piles_up("a"), piles_up("b"))

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(two)
        await run.result(20)
        assert len((await info_of(coordinator, run.id)).attributes) == MOST
        assert [line.action for line in await run.audit()] == ["attributes refused"]


@pytest.mark.parametrize("how", ["async", "in a thread"])
@on_a_loop
async def test_the_progress_of_a_step_is_seen_while_it_goes_on(how: str, database_url: str) -> None:
    gate, go_on = Gate(), threading.Event()

    @step(name="showing.imports")
    async def imports() -> None:
        set_progress(3, 10, "lines")
        set_attributes(file="a.csv")
        await gate.wait()

    @step(name="showing.imports_in_a_thread")
    def imports_in_a_thread() -> None:
        set_progress(3, 10, "lines")
        set_attributes(file="a.csv")
        go_on.wait(30)

    @saga(name="showing.import")
    async def importing() -> None:
        await (imports_in_a_thread() if how == "in a thread" else imports())

    async with (
        Coordinator(database_url) as coordinator,
        Coordinator(database_url, work=False) as elsewhere,
    ):
        run = await coordinator.start(importing)
        async for change in (await elsewhere.get(run.id)).watch():
            if change.progress is not None and change.attributes and not gate.opened.is_set():
                assert (change.status, change.progress.done) == (Status.RUNNING, 3)
                assert change.attributes == {"file": "a.csv"}
                gate.opened.set()
                go_on.set()
        assert await run.status() is Status.COMPLETED


@on_a_loop
async def test_a_loop_that_says_it_a_hundred_thousand_times_makes_a_few_commits(sqlite_url: str) -> None:
    """At most one a second, and the last with the outcome."""

    @step(name="showing.many")
    async def many(count: int) -> None:
        for number in range(count):
            set_progress(number + 1, count)
            set_attributes(last=number)
            if number % 1_000 == 0:
                await asyncio.sleep(0)

    @saga(name="showing.many")
    async def says_many() -> None:
        await many(100_000)

    async with Coordinator(sqlite_url) as coordinator:
        started = asyncio.get_running_loop().time()
        run = await coordinator.start(says_many)
        await run.result(50)
        seconds = asyncio.get_running_loop().time() - started
        assert (await kinds(run)).count(Kind.PROGRESS) <= seconds + 2
        info = await info_of(coordinator, run.id)
        assert info.progress is not None
        assert (info.progress.done, info.attributes) == (100_000, {"last": 99_999})


@pytest.mark.parametrize("how", ["fails", "times out", "undoes", "reads"])
@on_a_loop
async def test_the_last_word_of_an_attempt_comes_with_its_outcome(how: str, sqlite_url: str) -> None:
    """However the attempt ends, and whether it goes forward or back."""

    @step(name="showing.last_read", effect="read")
    async def last_read() -> None:
        set_progress(7)

    @step(name="showing.last", timeout=dt.timedelta(milliseconds=200))
    async def last() -> None:
        set_progress(1)
        if how == "undoes":
            return
        set_progress(7)
        if how == "times out":
            await asyncio.Event().wait()
        raise ValueError

    @last.compensation(name="showing.back")
    async def back(undo: Undo[None]) -> None:
        if how == "undoes":
            set_progress(7)

    @saga(name="showing.last")
    async def body() -> None:
        if how == "reads":
            await last_read()
            return
        await last()
        raise ValueError

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(body)
        await ended(run)
        progress = (await info_of(coordinator, run.id)).progress
        assert progress is not None
        assert progress.done == 7


@on_a_loop
async def test_progress_in_a_chain_of_reads_rides_along(sqlite_url: str) -> None:
    """Section 3, Reads ride along: what is said between reads is written with them, and makes no commit."""

    @saga(name="showing.reads")
    async def reads() -> int:
        for number in range(100):
            set_progress(number, 100)
            await looks(number)
        return 100

    async with Coordinator(sqlite_url) as coordinator:
        with counted() as spent:
            run = await coordinator.start(reads)
            assert await run.result(30) == 100
        assert spent.writing <= 25
        assert (await kinds(run)).count(Kind.PROGRESS) == 100


@on_a_loop
async def test_what_a_body_says_makes_no_commit_of_its_own(sqlite_url: str) -> None:
    """Section 3: a sequential step costs one commit, whatever is said beside it."""

    @saga(name="showing.steps")
    async def steps() -> int:
        for number in range(20):
            set_progress(number, 20)
            set_attributes(at=number)
            await does(number)
        return 20

    async with Coordinator(sqlite_url, lease=dt.timedelta(minutes=5)) as coordinator:
        await coordinator.run_until_idle()
        with counted() as spent:
            run = await coordinator.start(steps)
            assert await run.result(30) == 20
        assert spent.commits == 21


@on_a_loop
async def test_who_says_nothing_pays_nothing(sqlite_url: str) -> None:
    """No statement of a run touches what it doesn't use; and nobody looks while nobody watches."""

    @saga(name="showing.silent")
    async def silent() -> None:
        await does(1)
        await looks(2)
        await does(3)

    told: list[str] = []

    def note(_connection: Connection, _cursor: Any, statement: str, *_rest: Any) -> None:
        told.append(statement)

    async with Coordinator(sqlite_url) as coordinator:
        event.listen(Engine, "before_cursor_execute", note)
        try:
            run = await coordinator.start(silent)
            await run.result(20)
        finally:
            event.remove(Engine, "before_cursor_execute", note)
    assert [each for each in told if "amends_attributes" in each] == []
    assert [each for each in told if "progress=" in each or "changed >" in each] == []


class Shelf:
    """What is reserved."""

    def __init__(self) -> None:
        self.held: set[int] = set()

    def reset(self) -> None:
        self.held.clear()

    def snapshot(self) -> list[int]:
        return sorted(self.held)


SHELF = Shelf()


@step(name="showing.reserves")
async def reserves(number: int) -> int:
    set_progress(number, 3, "reserving")
    set_attributes(reserved=number)
    SHELF.held.add(number)
    return number


@reserves.compensation(name="showing.releases")
async def releases(undo: Undo[int], number: int) -> None:
    set_progress(number, 3, "releasing")
    SHELF.held.discard(number)


@saga(name="showing.crashes")
async def crashes() -> list[int]:
    set_attributes(stage="begun")
    numbers = []
    for number in range(3):
        set_progress(number, 3)
        await looks(number)
        numbers.append(await reserves(number))
    set_attributes(stage="done", reserved=None)
    return numbers


@pytest.mark.parametrize("prove", [crash_test, simulate])
def test_what_is_said_stands_kills_failures_and_cancels_at_every_point(prove: Callable[..., Any]) -> None:
    """S1, S3, S9, S10: entries between the others don't disturb replaying, undoing and taking over."""
    prove(crashes, (), world=SHELF)


@on_a_loop
async def test_a_signal_that_wakes_a_run_finds_what_it_said(database_url: str) -> None:
    """Dormancy: a body that is replayed goes on saying where it stopped."""
    clock = Clock()

    @saga(name="showing.listens")
    async def listens() -> list[int]:
        got: list[int] = []
        for count in itertools.count(1):
            set_progress(count)
            got.append(await receive(int, name="number"))
            if count == 3:
                break
        return got

    async with Coordinator(database_url, clock=clock) as coordinator:
        run = await coordinator.start(listens)
        for number in range(3):
            await coordinator.run_until_idle()
            progress = (await info_of(coordinator, run.id)).progress
            assert progress is not None
            assert progress.done == number + 1
            clock.move(HOUR)
            await coordinator.signal(run.id, "number", number)
        await coordinator.run_until_idle()
        assert await run.result(10) == [0, 1, 2]
        assert (await kinds(run)).count(Kind.PROGRESS) == 3
