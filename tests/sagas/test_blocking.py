"""The blocking door: the same coordinator for scripts, Flask and Django."""

from __future__ import annotations

import datetime as dt
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from amends.sagas import (
    Coordinator,
    CoordinatorClosed,
    InputInvalid,
    RunEnded,
    RunFailed,
    RunNotFound,
    Status,
    saga,
    sleep,
    step,
)
from amends.sagas.journal import Kind
from tests.sagas.running import Clock


@step(name="blocking.double")
def double(number: int) -> int:
    return number * 2


@saga(name="blocking.body")
async def body(number: int) -> int:
    if number < 0:
        raise ValueError(number)
    return await double(number)


@saga(name="blocking.sleeps")
async def sleeps() -> str:
    await sleep(dt.timedelta(days=1))
    return "woke"


def test_a_script_runs_a_saga(database_url: str) -> None:
    """Section 2: `Coordinator.sync(url)` with blocking twins and `run(saga, *args)`."""
    with Coordinator.sync(database_url) as coordinator:
        assert coordinator.run(body, 4) == 8
        run = coordinator.start(body, 5, id="a")
        assert run.result(30) == 10
        assert run.status() is Status.COMPLETED
        assert [entry.kind for entry in run.journal()] == [Kind.INTENT, Kind.LANDED, Kind.ENDED]
        assert run.left_standing() == []
        assert coordinator.get("a").result() == 10
        assert len(coordinator.list(status="completed")) == 2
        assert coordinator.engine.dialect.name in database_url


def test_errors_reach_the_script_as_they_are(sqlite_url: str) -> None:
    """House style 13: one thing behind two doors: the same errors."""
    with Coordinator.sync(sqlite_url) as coordinator:
        with pytest.raises(RunFailed) as caught:
            coordinator.run(body, -1)
        assert isinstance(caught.value.error, ValueError)
        with pytest.raises(InputInvalid):
            coordinator.run(body, "x")  # type: ignore[arg-type]  # on purpose
        with pytest.raises(RunNotFound):
            coordinator.get("nobody")
    with pytest.raises(CoordinatorClosed, match=r"with Coordinator\.sync"):
        coordinator.run(body, 1)


def test_a_script_cancels_and_moves_time(sqlite_url: str) -> None:
    """House style 13: `cancel`, `run_until_idle` and time-outs block like the rest."""
    clock = Clock()
    with Coordinator.sync(sqlite_url, clock=clock) as coordinator:
        run = coordinator.start(sleeps, id="a")
        due = coordinator.run_until_idle()
        assert due == dt.datetime.fromtimestamp(clock.now / 1000, dt.UTC) + dt.timedelta(days=1)
        with pytest.raises(TimeoutError):
            run.result(0.01)
        clock.move(dt.timedelta(days=1))
        coordinator.run_until_idle()
        assert run.result(10) == "woke"
        with pytest.raises(RunEnded):
            run.cancel()
        other = coordinator.start(sleeps, id="b")
        other.cancel("why not")
        coordinator.run_until_idle()
        assert other.status() is Status.CANCELLED


def test_threads_share_one_coordinator(sqlite_url: str) -> None:
    """House style 13: a web server's threads may all use it."""
    results: dict[int, int] = {}
    with Coordinator.sync(sqlite_url) as coordinator:

        def work(number: int) -> None:
            results[number] = coordinator.run(body, number)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert results == {number: number * 2 for number in range(12)}


def test_a_sync_coordinator_leaves_no_thread_behind(sqlite_url: str) -> None:
    """House style 8: what is opened is closed: no thread outlives the block."""
    before = set(threading.enumerate())
    with Coordinator.sync(sqlite_url) as coordinator:
        coordinator.run(body, 1)
    left = [thread.name for thread in threading.enumerate() if thread not in before and thread.is_alive()]
    assert [name for name in left if not name.startswith(("amends-step", "amends-read"))] == []


def test_a_database_that_can_not_be_opened_is_an_error_of_the_with_statement() -> None:
    """The same errors as `async with`, and no thread is left behind."""
    before = threading.active_count()
    with pytest.raises(Exception, match=r"amends|mysql|database"), Coordinator.sync("mysql://nowhere/x"):
        pass
    assert threading.active_count() == before


def refusals(*calls: Callable[[], Any]) -> int:
    """Count the calls that say that the coordinator belongs to the parent."""
    told = []
    for call in calls:
        try:
            call()
        except CoordinatorClosed as error:
            told.append(str(error))
    return sum("opened before this process was forked: open one in each process" in one for one in told)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python 3.12 warns of forks beside threads
def test_a_forked_child_is_told_to_open_its_own(sqlite_url: str) -> None:
    """S18: the child has no loop's thread, so nothing may wait for it; leaving the block harms nobody."""
    with Coordinator.sync(sqlite_url) as coordinator:
        run = coordinator.start(body, 1)
        assert run.result(30) == 2
        child = os.fork()
        if child == 0:
            try:
                told = refusals(lambda: coordinator.run(body, 2), run.result, lambda: coordinator.engine)
                coordinator.__exit__(None, None, None)
                os._exit(told)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
        assert coordinator.run(body, 3) == 6


def test_a_handle_of_a_closed_coordinator_says_that_it_is_closed(sqlite_url: str) -> None:
    """House style 4: every method of every handle, and nothing is left unawaited."""
    with Coordinator.sync(sqlite_url) as coordinator:
        run = coordinator.start(body, 1)
        run.result(30)
    calls: list[Callable[[], Any]] = [
        run.result, run.status, run.cancel, run.journal, run.left_standing, coordinator.run_until_idle,
        coordinator.list, lambda: coordinator.get("a"), lambda: coordinator.cancel("a"),
        lambda: coordinator.engine,
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(CoordinatorClosed, match=r"isn't open: use it inside `with Coordinator\.sync"):
            call()


def test_who_waits_when_the_coordinator_closes_is_told(sqlite_url: str) -> None:
    """House style 4: a wait in another thread ends with the block."""
    told: list[str] = []
    with Coordinator.sync(sqlite_url) as coordinator:
        run = coordinator.start(sleeps, id="a")
        waiting = threading.Event()

        def wait() -> None:
            waiting.set()
            try:
                run.result()
            except CoordinatorClosed as error:
                told.append(str(error))

        thread = threading.Thread(target=wait)
        thread.start()
        waiting.wait(30)
    thread.join(30)
    assert len(told) == 1
    assert "closed" in told[0] or "isn't open" in told[0]


def test_a_closed_coordinator_may_be_opened_again(sqlite_url: str) -> None:
    """Section 2: one after the other, not one in the other."""
    coordinator = Coordinator.sync(sqlite_url)
    for number in (1, 2):
        with coordinator:
            assert coordinator.run(body, number) == 2 * number
            with pytest.raises(CoordinatorClosed, match="is open already"), coordinator:
                pass
            assert coordinator.run(body, 5) == 10


def test_a_wait_of_no_time_gives_what_is_there(database_url: str) -> None:
    """Section 2: `result(timeout=0)` asks whether it is done."""
    with Coordinator.sync(database_url) as coordinator:
        done = coordinator.start(body, 4)
        done.result(30)
        assert done.result(timeout=0) == done.result(timeout=dt.timedelta(0)) == 8
        with pytest.raises(TimeoutError):
            coordinator.start(sleeps).result(timeout=0)
