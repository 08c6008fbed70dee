"""What a step and a compensation are told of themselves."""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from amends.sagas import (
    Coordinator,
    CurrentStep,
    OutsideRun,
    Undo,
    current_run,
    current_step,
    saga,
    sleep,
    step,
)
from amends.sagas.keys import step_key
from tests.sagas.running import AT_ONCE, ONCE, Clock, failure, on_a_loop, result_of


@on_a_loop
async def test_the_key_is_stable_over_attempts_and_another_one_for_the_compensation(
    database_url: str,
) -> None:
    """S9, section 2: one key an occurrence; `Undo` tells both."""
    seen: list[tuple[str, CurrentStep]] = []
    undone: list[Undo[int]] = []

    @step(retry=AT_ONCE)
    async def pays(amount: int) -> int:
        seen.append(("pays", current_step()))
        if current_step().attempt < 3:
            raise ConnectionError
        return amount

    @pays.compensation(retry=AT_ONCE)
    async def refunds(undo: Undo[int], amount: int) -> None:
        seen.append(("refunds", current_step()))
        undone.append(undo)
        if current_step().attempt < 2:
            raise ConnectionError

    @saga
    async def body() -> None:
        await pays(1)
        await pays(2)
        raise ValueError("enough")

    async with Coordinator(database_url) as coordinator:
        failed = await failure(await coordinator.start(body, id="r"))
    assert failed.status == "compensated"
    forward = [one for word, one in seen if word == "pays"]
    backward = [one for word, one in seen if word == "refunds"]
    assert [one.attempt for one in forward] == [1, 2, 3, 1, 2, 3]
    assert [one.attempt for one in backward] == [1, 2, 1, 2]
    first, second = forward[0].idempotency_key, forward[3].idempotency_key
    assert {one.idempotency_key for one in forward[:3]} == {first}
    assert {one.idempotency_key for one in forward[3:]} == {second}
    keys = {one.idempotency_key for one in (*forward, *backward)}
    assert len(keys) == 4
    assert [(undo.forward_key, undo.key) for undo in undone] == [
        (second, backward[0].idempotency_key),
        (second, backward[0].idempotency_key),
        (first, backward[2].idempotency_key),
        (first, backward[2].idempotency_key),
    ]
    assert {one.run_id for one in (*forward, *backward)} == {"r"}


@on_a_loop
async def test_a_compensation_gets_the_result_and_the_recorded_arguments(sqlite_url: str) -> None:
    """S8: C(e) gets the frozen record of e: its arguments as they were, its result, and why."""
    told: list[Any] = []

    @step
    async def books(days: list[int], *, seat: str = "aisle") -> dict[str, int]:
        return {"booking": 7}

    @books.compensation
    def cancels(undo: Undo[dict[str, int]], days: list[int], *, seat: str = "aisle") -> None:
        told.append((undo.result, undo.outcome, undo.cause, days, seat))

    @saga
    async def body() -> None:
        days = [1, 2]
        await books(days, seat="window")
        days.append(3)
        raise ValueError

    async with Coordinator(sqlite_url) as coordinator:
        await failure(await coordinator.start(body))
    assert told == [({"booking": 7}, "landed", "error", [1, 2], "window")]


@on_a_loop
async def test_the_deadline_and_the_resources_are_the_attempts(sqlite_url: str) -> None:
    """Section 2: `deadline` is when the attempt times out, `resources` what the coordinator was given."""
    clock = Clock()
    client = object()
    seen: list[CurrentStep] = []

    @step(timeout=dt.timedelta(seconds=7))
    def looks() -> None:
        seen.append(current_step())

    @saga
    async def body() -> None:
        await looks()

    await result_of(sqlite_url, body, clock=clock, resources=client)
    (told,) = seen
    assert told.deadline == dt.datetime.fromtimestamp(clock.now / 1000, dt.UTC) + dt.timedelta(seconds=7)
    assert told.resources is client
    assert told.name.endswith("looks")
    assert "object" not in repr(told)


@on_a_loop
async def test_the_body_knows_its_run(sqlite_url: str) -> None:
    """Section 2: `current_run()` in a body: id, saga, version."""

    @saga(name="known", version=3)
    async def body() -> tuple[str, str, str]:
        run = current_run()
        return run.id, run.saga, run.version

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(body, id="me")
        assert await run.result(10) == ("me", "known", "3")


@on_a_loop
async def test_what_belongs_in_a_step_is_refused_in_a_body_and_the_other_way_round(sqlite_url: str) -> None:
    """Section 2: each belongs to its own place, and says so."""

    @step(retry=ONCE)
    async def asks() -> str:
        try:
            return current_run().id
        except OutsideRun as error:
            return str(error)

    @saga
    async def body() -> list[str]:
        try:
            current_step()
        except OutsideRun as error:
            return [str(error), await asks()]
        return []

    in_body, in_step = await result_of(sqlite_url, body)
    assert "current_step()" in in_body
    assert "current_run()" in in_step


def test_outside_a_run_both_say_so() -> None:
    """House style 4: an error says what happened, where, and what to do."""
    with pytest.raises(OutsideRun, match="outside a step"):
        current_step()
    with pytest.raises(OutsideRun, match="outside a saga"):
        current_run()


@on_a_loop
async def test_keys_stay_the_same_from_one_coordinator_to_the_next(database_url: str) -> None:
    """S9: a key survives restarts: it is derived from the run and the occurrence."""
    clock = Clock()
    keys: list[str] = []

    @step
    async def first() -> None:
        keys.append(current_step().idempotency_key)

    @first.compensation
    async def unfirst(undo: Undo[None]) -> None:
        keys.append(undo.forward_key)

    @saga
    async def body() -> None:
        await first()
        await sleep(dt.timedelta(days=1))
        raise ValueError

    async with Coordinator(database_url, clock=clock) as coordinator:
        await coordinator.start(body, id="a")
        await coordinator.run_until_idle()
    clock.move(dt.timedelta(days=2))
    async with Coordinator(database_url, clock=clock) as coordinator:
        await coordinator.run_until_idle()
    assert len(keys) == 2
    assert keys[0] == keys[1]


@pytest.mark.parametrize("seed", ["1", "4242"])
def test_keys_come_from_the_run_and_the_occurrence_alone(seed: str) -> None:
    """S9: a process whose hashes are others derives the same key."""
    code = "from amends.sagas.keys import step_key; print(step_key('a', 1_700_000_000_000, 3))"
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    told = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == step_key("a", 1_700_000_000_000, 3)


def traced(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate without knowing of coroutines."""

    @functools.wraps(fn)
    def wrapper(*args: Any) -> Any:
        return fn(*args)

    return wrapper


@step(name="steps.wrapped")
@traced
async def wrapped(number: int) -> int:
    await asyncio.sleep(0)
    return number + 1


@on_a_loop
async def test_an_async_step_behind_a_plain_decorator_is_awaited(sqlite_url: str) -> None:
    @saga(name="steps.decorated")
    async def body() -> Any:
        return await wrapped(1)

    assert await result_of(sqlite_url, body) == 2
    assert await wrapped(2) == 3
