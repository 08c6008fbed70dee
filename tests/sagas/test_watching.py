"""Watching runs: each later state, the end, and nothing left behind."""

from __future__ import annotations

import asyncio
import datetime as dt
import gc
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event

from amends.sagas import (
    Change,
    Coordinator,
    CoordinatorClosed,
    InputInvalid,
    Kind,
    RunNotFound,
    Status,
    Undo,
    Watch,
    approval,
    receive,
    saga,
    set_attributes,
    set_progress,
    step,
)
from tests.sagas.running import Gate, on_a_loop, recorded


@step(name="watching.reserves")
async def reserves() -> None: ...


@reserves.compensation(name="watching.releases")
async def releases(undo: Undo[None]) -> None: ...


@saga(name="watching.listens")
async def listens(customer: str = "C-7") -> str:
    set_attributes(customer=customer)
    set_progress(0, 2)
    said = await receive(str, name="word")
    set_progress(1, 2, said)
    await receive(str, name="word")
    set_progress(2, 2)
    return said


@saga(name="watching.parks")
async def parks() -> None:
    await reserves()
    await asyncio.Event().wait()


@saga(name="watching.quick")
async def quick() -> None: ...


async def until(watch: AsyncIterator[Change], *statuses: Status) -> Change:
    """Give the first change to one of these statuses."""
    async for change in watch:
        if change.status in statuses:
            return change
    raise AssertionError("the watch has ended")


def watched(coordinator: Coordinator) -> int:
    """Give how many watches are fed in this process."""
    gc.collect()
    parts = coordinator._parts  # noqa: SLF001 - what must be empty
    assert parts is not None
    return parts.watching.watched


async def counted_down(coordinator: Coordinator, number: int) -> None:
    """Wait until there are so many watches; `on_a_loop` doesn't wait for ever."""
    while watched(coordinator) != number:  # noqa: ASYNC110 - nobody tells when garbage is gone
        await asyncio.sleep(0.001)


@contextmanager
def queries() -> Iterator[list[str]]:
    """Collect the queries for changes that are made in the block."""
    found: list[str] = []

    def note(_connection: Connection, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith("SELECT") and "moment" in statement:
            found.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", note)


@on_a_loop
async def test_a_run_is_watched_from_another_process_until_it_ends(database_url: str) -> None:
    """First as it is, then each later state; what it waits for and what it shows included."""
    async with (
        Coordinator(database_url) as coordinator,
        Coordinator(database_url, work=False) as elsewhere,
    ):
        run = await coordinator.start(listens, id="run")
        watch = (await elsewhere.get("run")).watch()
        first = await anext(watch)
        assert (first.run_id, first.saga, first.before) == ("run", "watching.listens", None)
        assert first.attributes == {"customer": "C-7"}
        waiting = first if first.status is Status.WAITING else await until(watch, Status.WAITING)
        assert waiting.waits_for == "signal 'word'"
        assert waiting.progress is not None
        assert (waiting.progress.done, waiting.progress.total) == (0, 2)
        await elsewhere.signal("run", "word", "hello")
        told = [change async for change in _as_long_as(watch, 1)]
        assert told[-1].progress is not None
        assert (told[-1].progress.done, told[-1].progress.text) == (1, "hello")
        await elsewhere.signal("run", "word", "again")
        rest = [change async for change in watch]
        assert (rest[-1].status, rest[-1].ended) == (Status.COMPLETED, True)
        assert [change.ended for change in rest[:-1]] == [False] * (len(rest) - 1)
        assert all(a.status == b.before for a, b in zip(told + rest, (told + rest)[1:], strict=False))
        assert await run.result(10) == "hello"


async def _as_long_as(watch: Watch, done: int) -> AsyncIterator[Change]:
    """Give changes until progress has come so far."""
    async for change in watch:
        yield change
        if change.progress is not None and change.progress.done >= done:
            return


@on_a_loop
async def test_a_run_that_has_ended_is_shown_once(database_url: str) -> None:
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(quick)
        await run.result(20)
        assert [(change.before, change.status) async for change in run.watch()] == [(None, Status.COMPLETED)]


@on_a_loop
async def test_parked_is_no_end(database_url: str) -> None:
    """The watch goes on while a person sees to the run."""
    async with (
        Coordinator(database_url) as coordinator,
        Coordinator(database_url, work=False) as elsewhere,
    ):
        run = await coordinator.start(parks)
        watch = (await elsewhere.get(run.id)).watch()
        assert not (await until(watch, Status.PARKED)).ended
        await elsewhere.operator("ann").abort(run.id)
        rest = [change async for change in watch]
        assert rest[0].before is Status.PARKED
        assert rest[-1].status is Status.COMPENSATED


@on_a_loop
async def test_an_approval_that_is_waited_for_is_seen(database_url: str) -> None:
    @saga(name="watching.asks")
    async def asks() -> bool:
        return (await approval(title="Ship it?")).approved

    async with (
        Coordinator(database_url) as coordinator,
        Coordinator(database_url, work=False) as elsewhere,
    ):
        run = await coordinator.start(asks)
        watch = (await elsewhere.get(run.id)).watch()
        assert (await until(watch, Status.WAITING)).waits_for == "approval 'Ship it?'"
        await elsewhere.decide((await elsewhere.approvals())[0].id, approved=True, by="ann")
        assert (await until(watch, Status.COMPLETED)).ended


@on_a_loop
async def test_there_is_nothing_to_watch_without_a_run(sqlite_url: str) -> None:
    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(quick, id="run")
        run.id = "another"
        with pytest.raises(RunNotFound, match="another"):
            await anext(run.watch())
        run.id = "half \ud800"
        with pytest.raises(RunNotFound):
            run.watch()
        with pytest.raises(InputInvalid, match="no status"):
            coordinator.watch(status="finished")


@on_a_loop
async def test_leaving_the_loop_frees_everything(sqlite_url: str) -> None:
    """By break, by an error, by cancelling; then nothing is looked for any more."""
    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(listens)

        async def watches() -> None:
            async for _ in coordinator.watch():
                pass

        async def fails() -> None:
            async for _ in run.watch():
                raise ZeroDivisionError

        async for _ in run.watch():
            break
        await asyncio.gather(fails(), return_exceptions=True)
        task = asyncio.create_task(watches())
        async for _ in run.watch():
            # Those that were left may still be in the hands of a look under way.
            await counted_down(coordinator, 2)
            break
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        del task
        await counted_down(coordinator, 0)
        await run.cancel()
        with queries() as found:
            await coordinator.run_until_idle()
            await (await coordinator.start(quick)).result(10)
        assert found == []


@on_a_loop
async def test_a_wait_that_is_given_up_loses_no_change(sqlite_url: str) -> None:
    """Cancelling one wait for a change doesn't end the watch."""
    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(listens)
        watch = run.watch()
        await until(watch, Status.WAITING)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(watch), 0.01)
        await run.cancel()
        assert (await until(watch, Status.CANCELLED)).ended


@on_a_loop
async def test_closing_the_coordinator_ends_the_iteration(sqlite_url: str) -> None:
    coordinator = Coordinator(sqlite_url)
    async with coordinator:
        run = await coordinator.start(listens)
        one, many = run.watch(), coordinator.watch()
        await many.ready()
        await until(one, Status.WAITING)
        waiting = asyncio.create_task(until(one, Status.COMPLETED))
    for watch in (waiting, until(many, Status.COMPLETED)):
        with pytest.raises(CoordinatorClosed):
            await watch
    with pytest.raises(CoordinatorClosed):
        run.watch()


@on_a_loop
async def test_many_runs_are_watched_by_what_they_are(database_url: str) -> None:
    async with (
        Coordinator(database_url) as coordinator,
        Coordinator(database_url, work=False) as elsewhere,
    ):
        watches = {
            "all": elsewhere.watch(),
            "ended": elsewhere.watch(status=Status.COMPLETED),
            "listens": elsewhere.watch(saga="watching.listens", status="completed"),
            "C-8": elsewhere.watch(attributes={"customer": "C-8"}),
            "C-9": elsewhere.watch(attributes={"customer": "C-9"}),
        }
        for watch in watches.values():
            await watch.ready()
        for run_id, customer in (("a", "C-7"), ("b", "C-8")):
            run = await coordinator.start(listens, customer, id=run_id)
            await elsewhere.signal(run_id, "word", "x")
            await elsewhere.signal(run_id, "word", "y")
            await run.result(20)
        await (await coordinator.start(quick, id="q")).result(20)
        assert (await until(watches["C-8"], Status.COMPLETED)).run_id == "b"
        assert [(await anext(watches["listens"])).run_id for _ in "ab"] == ["a", "b"]
        ended = {(await until(watches["ended"], Status.COMPLETED)).run_id for _ in range(3)}
        assert ended == {"a", "b", "q"}
        seen = dict[str, Status]()
        while "q" not in seen or not all(status.ended for status in seen.values()):
            change = await anext(watches["all"])
            assert change.before in (seen.get(change.run_id), None)
            seen[change.run_id] = change.status
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(watches["C-9"]), 0.05)


@on_a_loop
async def test_who_watches_late_is_told_how_it_is_and_never_goes_back(database_url: str) -> None:
    """Watches that begin while everything moves: progress never falls, and every one sees the end."""
    gate = Gate()

    @step(name="watching.counts")
    async def counts() -> None:
        for number in range(200):
            set_progress(number, 200)
            await asyncio.sleep(0)
        await gate.wait()

    @saga(name="watching.counts")
    async def body() -> None:
        for number in range(10):
            set_attributes(number=number)
            await reserves()
        await counts()

    async def watch(coordinator: Coordinator, run_id: str) -> Status:
        last, numbers = None, [-1.0]
        async for change in (await coordinator.get(run_id)).watch():
            assert last is None or change.before == last.status
            if change.progress is not None:
                numbers.append(change.progress.done)
            last = change
        assert numbers == sorted(numbers)
        assert last is not None
        return last.status

    async with (
        Coordinator(database_url) as coordinator,
        Coordinator(database_url, work=False) as elsewhere,
    ):
        runs = [await coordinator.start(body) for _ in range(5)]
        tasks = []
        for number in range(60):
            where = (coordinator, elsewhere)[number % 2]
            tasks.append(asyncio.create_task(watch(where, runs[number % 5].id)))
            await asyncio.sleep(0)
        await gate.reached.wait()
        gate.opened.set()
        assert set(await asyncio.gather(*tasks)) == {Status.COMPLETED}


@on_a_loop
async def test_hundreds_of_watched_runs_are_looked_at_by_one_query(sqlite_url: str) -> None:
    """No query for each run: one after each piece of news, for all."""
    async with (
        Coordinator(sqlite_url) as coordinator,
        Coordinator(sqlite_url, work=False) as elsewhere,
    ):
        runs = [await coordinator.start(listens) for _ in range(200)]
        watches = [(await elsewhere.get(run.id)).watch() for run in runs]
        for watch in watches:
            await until(watch, Status.WAITING)
        started = asyncio.get_running_loop().time()
        with queries() as found:
            await asyncio.gather(*(coordinator.cancel(run.id) for run in runs))
            for watch in watches:
                await until(watch, Status.CANCELLED)
        seconds = asyncio.get_running_loop().time() - started
        assert 1 <= len(found) <= seconds / 0.02 + 2


@on_a_loop
async def test_who_takes_no_change_for_a_while_finds_them_merged(sqlite_url: str) -> None:
    """What waits to be taken is one change for each run, however many there were; the end isn't missed."""
    async with Coordinator(sqlite_url) as coordinator:
        watch, other = coordinator.watch(), coordinator.watch()
        await watch.ready()
        await other.ready()
        run = await coordinator.start(listens, id="run")
        await anext(other)
        for word in "xy":
            await coordinator.signal("run", "word", word)
        await until(other, Status.COMPLETED)
        change = await anext(watch)
        assert (change.before, change.status) == (None, Status.COMPLETED)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(watch), 0.05)
        assert await run.status() is Status.COMPLETED


@on_a_loop
async def test_a_run_that_is_undone_after_its_end_is_seen_again(database_url: str) -> None:
    @saga(name="watching.undone")
    async def undone() -> None:
        await reserves()

    async with Coordinator(database_url) as coordinator:
        watch = coordinator.watch(saga="watching.undone")
        await watch.ready()
        run = await coordinator.start(undone)
        await run.result(20)
        await until(watch, Status.COMPLETED)
        await coordinator.undo(run.id)
        assert (await until(watch, Status.COMPENSATED)).before in (
            Status.COMPLETED,
            Status.COMPENSATING,
            Status.RUNNING,
        )


@on_a_loop
async def test_news_that_is_lost_is_made_up_for(postgres_url: str) -> None:
    """Behind every notification stands a poll: a commit that tells nobody is seen all the same."""
    async with (
        Coordinator(postgres_url) as coordinator,
        Coordinator(postgres_url, work=False) as elsewhere,
    ):
        run = await coordinator.start(listens)
        watch = (await elsewhere.get(run.id)).watch()
        await until(watch, Status.WAITING)
        with elsewhere.engine.begin() as connection:
            # Nobody announces this.
            connection.exec_driver_sql(
                "UPDATE amends.runs SET waits_for = 'nothing', changed = pg_current_xact_id()::text::bigint"
            )
        async for change in watch:
            if change.waits_for == "nothing":
                break


def test_blocking_code_watches_by_a_plain_loop(sqlite_url: str) -> None:
    with Coordinator.sync(sqlite_url) as coordinator:
        everything = coordinator.watch(saga="watching.listens", attributes={"customer": "C-7"})
        run = coordinator.start(listens, id="run")
        seen = []
        for change in run.watch():
            seen.append(change.status)
            if change.status is Status.WAITING:
                coordinator.signal("run", "word", "x")
        assert (seen[-1], seen.count(Status.COMPLETED)) == (Status.COMPLETED, 1)
        assert next(everything).run_id == "run"
        assert iter(everything) is everything


def test_closing_ends_a_blocking_watch(sqlite_url: str) -> None:
    told: list[BaseException] = []

    def watch(changes: Iterator[Change], begun: threading.Event) -> None:
        try:
            for _ in changes:
                begun.set()
        except CoordinatorClosed as error:
            told.append(error)

    with Coordinator.sync(sqlite_url) as coordinator:
        run, begun = coordinator.start(listens), threading.Event()
        thread = threading.Thread(target=watch, args=(run.watch(), begun))
        thread.start()
        assert begun.wait(30)
    thread.join(30)
    assert len(told) == 1


@on_a_loop
async def test_a_killed_worker_leaves_the_watch_where_the_next_goes_on(database_url: str) -> None:
    """Progress and attributes are durable: whoever takes over says more of the same run."""
    gate, attempts = Gate(), list[int]()

    @step(name="watching.long", on_unknown="retry")
    async def long() -> None:
        attempts.append(1)
        set_progress(len(attempts), 2)
        if len(attempts) == 1:
            await gate.wait()

    @saga(name="watching.long")
    async def body() -> None:
        await long()

    async with Coordinator(database_url, work=False) as elsewhere:
        async with Coordinator(database_url, grace=dt.timedelta(0)) as first:
            run = await first.start(body, id="run")
            await gate.reached.wait()
            await recorded(run, Kind.PROGRESS)
        watch = (await elsewhere.get("run")).watch()
        begun = await anext(watch)
        assert begun.progress is not None
        assert begun.progress.done == 1
        async with Coordinator(database_url):
            rest = [change async for change in watch]
        assert rest[-1].status is Status.COMPLETED
        assert rest[-1].progress is not None
        assert rest[-1].progress.done == 2
