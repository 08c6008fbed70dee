"""What hashes by address elsewhere has one order here."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from amends.sagas.loop import BodyFuture
from tests.loop.driving import Driven

CHECKOUT = Path(__file__).parents[2]

FIFTY = """
import sys
import tests.loop.conftest
import asyncio
from tests.loop.driving import Driven

ballast = [object() for _ in range(int(sys.argv[1]) % 9973)]

async def body(run):
    tasks = []
    for number in range(50):
        ballast.append(bytearray(len(ballast) * 7 % 511))
        tasks.append(asyncio.create_task(run.step(str(number)), name=str(number)))
    pending = set(tasks)
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        run.log.append([task.get_name() for task in done])
        run.log.append([task.get_name() for task in pending])

run = Driven()
run.begin(body)
order = [str(number * 7 % 50) for number in range(50)]
for a, b, c, d, e in zip(*[iter(order)] * 5):
    for name in (a, b, c, d):
        run.waiting.pop(name).set_result(None)
    run.land(e)
async def completing(run):
    for each in asyncio.as_completed([run.step(str(number)) for number in range(50)]):
        await each
other = Driven()
other.begin(completing)
other.loop.shut()
print(run.log, other.log)
"""


def output(seed: int) -> str:
    environment = os.environ | {"PYTHONHASHSEED": str(seed), "PYTHONPATH": str(CHECKOUT)}
    command = [sys.executable, "-c", FIFTY, str(seed * 7919)]
    return subprocess.run(
        command, env=environment, cwd=CHECKOUT, capture_output=True, text=True, check=True
    ).stdout


def test_sets_of_fifty_tasks_replay_in_other_processes() -> None:
    outputs = [output(seed) for seed in range(1, 6)]

    assert len(outputs[0]) > 1_000
    assert outputs == outputs[:1] * 5


def waited(run: Driven) -> list[Any]:
    async def body(run: Driven) -> None:
        tasks = {asyncio.create_task(run.step(str(number))) for number in range(50)}
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        run.log.append([task.get_name() for task in done])
        run.log.append([task.get_name() for task in pending])

    run.begin(body)
    for number in range(0, 50, 3):
        run.waiting[str(number)].set_result(None)
    run.loop.turn()
    run.loop.shut()
    return run.log


def test_sets_of_fifty_tasks_replay_beside_other_objects() -> None:
    logs = []
    ballast: list[object] = []
    for size in range(20):
        logs.append(waited(Driven()))
        ballast.extend(bytearray(size * 37) for _ in range(size))
        ballast.append(Driven())

    assert logs == logs[:1] * 20


def test_futures_and_tasks_of_a_loop_share_one_count() -> None:
    run = Driven()
    numbers = [
        hash(run.loop.create_future()),
        hash(run.loop.create_task(asyncio.sleep(0))),
        hash(run.loop.create_future()),
    ]
    run.loop.turn()

    assert numbers == [1, 2, 3]


def test_futures_of_two_loops_with_one_number_differ() -> None:
    one, other = Driven().loop.create_future(), Driven().loop.create_future()

    assert hash(one) == hash(other)
    assert one != other
    assert isinstance(one, BodyFuture)


class Called:
    """An awaitable that is no coroutine, as a step's call may be."""

    def __init__(self, run: Driven, name: str) -> None:
        self.run = run
        self.name = name

    def __await__(self) -> Generator[Any, Any, Any]:
        return self.run.step(self.name).__await__()


NAMES = [str(number) for number in range(30)]


@pytest.mark.parametrize("kind", [Called, Driven.step], ids=["awaitables", "coroutines"])
def test_as_completed_starts_what_it_is_given_in_that_order(kind: Any) -> None:
    async def body(run: Driven) -> None:
        given = [kind(run, name) for name in NAMES]
        twice = given[0]
        run.log.extend([await each for each in asyncio.as_completed([*given, twice])])

    run = Driven()
    task = run.begin(body)

    assert run.log == [f"call {name}" for name in NAMES]
    assert run.news(*reversed(NAMES))[30:] == NAMES[::-1]
    assert task.done()


def test_as_completed_mixes_tasks_and_coroutines() -> None:
    async def body(run: Driven) -> None:
        task = asyncio.create_task(run.step("task"))
        run.log.extend(
            [await each for each in asyncio.as_completed([run.step("one"), task, run.step("two")])]
        )

    run = Driven()
    run.begin(body)

    assert run.news("two", "task", "one") == ["call task", "call one", "call two", "two", "task", "one"]


@pytest.mark.parametrize("container", [set, iter, frozenset])
def test_as_completed_of_coroutines_without_an_order_is_refused(container: Any) -> None:
    async def body(run: Driven) -> None:
        given = [run.step("a"), run.step("b")]
        try:
            for each in asyncio.as_completed(container(given)):
                await each
        finally:
            for coroutine in given:
                coroutine.close()

    task = (run := Driven()).begin(body)

    assert "can't be replayed: give it a list" in str(task.exception())
    assert run.log == []


def test_as_completed_takes_tasks_from_anywhere() -> None:
    async def body(run: Driven) -> None:
        tasks = {asyncio.create_task(run.step(name)) for name in "ab"}
        run.log.extend([await each for each in asyncio.as_completed(tasks)])

    run = Driven()
    run.begin(body)

    assert run.news("b", "a")[2:] == ["b", "a"]


def test_as_completed_with_a_timeout_replays() -> None:
    async def body(run: Driven) -> None:
        try:
            for each in asyncio.as_completed([run.step("a"), run.step("b")], timeout=5):
                run.log.append(await each)
        except TimeoutError:
            run.log.append("timed out")

    run = Driven()
    run.begin(body)

    assert run.news("b", ".") == ["call a", "call b", "b", "timed out"]
    run.loop.shut()
