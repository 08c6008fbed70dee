"""Whoever blocks the event loop is named while it does so."""

import asyncio
import logging
import threading

import pytest

from amends.sagas import Coordinator, Fatal, Undo, blocked, saga, step
from tests.sagas.running import ONCE, ended, on_a_loop

HERE = "test_blocked_loop.py"


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocked, "EVERY", 0.01)
    monkeypatch.setattr(blocked, "LONGEST", 0.05)


class Told(logging.Handler):
    """Sets `heard` once the loop was called blocked, so that what blocks it may end."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = threading.Event()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        if "blocked for" in record.getMessage():
            self.records.append(record)
            self.heard.set()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    handler = Told()
    monkeypatch.setattr(blocked.log, "handlers", [handler])
    monkeypatch.setitem(globals(), "TOLD", handler)
    return handler


TOLD = Told()


def block() -> None:
    """Block until somebody has complained."""
    assert TOLD.heard.wait(30)


@step(name="blocking.step", retry=ONCE)
async def blocks() -> None:
    block()


@step(name="blocking.fine", retry=ONCE)
async def fine() -> None: ...


@fine.compensation(name="blocking.undo", retry=ONCE)
async def undo_fine(undo: Undo[None]) -> None:
    block()


@step(name="blocking.thread", retry=ONCE)
def in_a_thread() -> None:
    assert not TOLD.heard.wait(0.3)


@saga(name="blocking.by_step")
async def by_step() -> None:
    await blocks()


@saga(name="blocking.by_body")
async def by_body() -> None:
    block()
    await fine()


@saga(name="blocking.by_compensation")
async def by_compensation() -> None:
    await fine()
    raise Fatal("no")


@saga(name="blocking.by_nobody")
async def by_nobody() -> None:
    await in_a_thread()


@on_a_loop
async def test_a_step_that_blocks_the_loop_is_named(sqlite_url: str, told: Told) -> None:
    async with Coordinator(sqlite_url) as coordinator:
        await (await coordinator.start(by_step, id="r-1")).result()
    first = told.records[0]
    assert "by step 'blocking.step' at " in first.getMessage()
    assert f"{HERE}:" in first.getMessage()
    assert " in blocks: nothing else goes on" in first.getMessage()
    assert (first.levelname, vars(first)["run_id"], vars(first)["step"], vars(first)["attempt"]) == (
        "WARNING",
        "r-1",
        "blocking.step",
        1,
    )


@on_a_loop
async def test_a_compensation_that_blocks_the_loop_is_named(sqlite_url: str, told: Told) -> None:
    async with Coordinator(sqlite_url) as coordinator:
        await ended(await coordinator.start(by_compensation, id="r-1"))
    assert "by the compensation " in told.records[0].getMessage()
    assert " in undo_fine: nothing else" in told.records[0].getMessage()


@on_a_loop
async def test_a_body_that_blocks_the_loop_is_found_by_its_code(sqlite_url: str, told: Told) -> None:
    async with Coordinator(sqlite_url) as coordinator:
        await (await coordinator.start(by_body)).result()
    assert f"{HERE}:" in told.records[0].getMessage()
    assert " in by_body: nothing else goes on" in told.records[0].getMessage()


@on_a_loop
async def test_the_application_itself_is_found_too(sqlite_url: str, told: Told) -> None:
    async with Coordinator(sqlite_url):
        asyncio.get_running_loop().call_soon(block)
        await asyncio.sleep(0.01)
    assert " in block: nothing else goes on" in told.records[0].getMessage()


@on_a_loop
async def test_a_step_in_a_thread_blocks_nobody(sqlite_url: str, told: Told) -> None:
    async with Coordinator(sqlite_url) as coordinator:
        await (await coordinator.start(by_nobody)).result()
    assert not told.records


@on_a_loop
async def test_the_end_of_it_is_told_and_the_same_place_only_once_a_minute(
    sqlite_url: str, told: Told
) -> None:
    async with Coordinator(sqlite_url) as coordinator:
        await (await coordinator.start(by_step)).result()
        while len(told.records) < 2:  # noqa: ASYNC110 - a thread tells
            await asyncio.sleep(0.01)
        assert "the event loop was blocked for" in told.records[1].getMessage()
        told.heard.clear()
        ending = threading.Timer(0.3, told.heard.set)
        ending.start()
        await (await coordinator.start(by_step)).result()
    assert len(told.records) == 2
