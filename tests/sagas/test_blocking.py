"""The blocking door: the same coordinator for scripts, Flask and Django."""

from __future__ import annotations

import datetime as dt
import threading

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
