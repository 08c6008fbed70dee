"""Outside a run, sagas and steps are plain functions; definitions are found by name, once."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from amends.sagas import (
    ReplayFilter,
    Undo,
    now,
    random,
    replaying,
    saga,
    sleep,
    step,
    uuid4,
)


@step(name="plain.double")
async def double(number: int) -> int:
    """Double a number."""
    return number * 2


@step(name="plain.triple")
def triple(number: int, *, plus: int = 0) -> int:
    return number * 3 + plus


@double.compensation(name="plain.halve")
async def halve(undo: Undo[int], number: int) -> None: ...


@saga(name="plain.body")
async def body(number: int) -> list[Any]:
    """Do both."""
    await sleep(0)
    return [await double(number), await triple(number, plus=1), type(now()).__name__, replaying()]


def test_a_saga_and_its_steps_run_plainly_in_a_unit_test() -> None:
    """Section 2, Steps: outside a run the awaitable runs the function plainly: unit tests need nothing."""
    assert asyncio.run(body(2)) == [4, 7, "datetime", False]


def test_a_step_called_plainly_takes_and_gives_the_objects_themselves() -> None:
    """Section 2: no encoding outside a run."""

    @step(name="plain.same")
    async def same(thing: list[int]) -> list[int]:
        return thing

    thing = [1]
    assert asyncio.run(_awaited(same(thing))) is thing


async def _awaited(call: Any) -> Any:
    return await call


def test_the_plain_function_is_there() -> None:
    """Section 2: `step.fn` is the plain function; the step looks like it."""
    assert triple.fn(2) == 6
    assert asyncio.run(double.fn(2)) == 4
    assert asyncio.run(body.fn(1))[0] == 2
    assert (vars(double)["__name__"], double.__doc__) == ("double", "Double a number.")
    assert (vars(body)["__name__"], body.__doc__) == ("body", "Do both.")
    assert asyncio.run(halve(None, 2)) is None  # type: ignore[arg-type]  # a compensation stays a plain function


def test_an_error_of_a_step_called_plainly_is_the_functions_own() -> None:
    """Section 2: no retries, no wrapping, outside a run."""
    calls: list[int] = []

    @step(name="plain.breaks")
    async def breaks() -> None:
        calls.append(1)
        raise KeyError("x")

    with pytest.raises(KeyError):
        asyncio.run(_awaited(breaks()))
    assert calls == [1]


def test_time_ids_and_randomness_are_real_outside_a_run() -> None:
    """Section 2: `now()`, `uuid4()` and `random()` give fresh ones."""
    assert now().tzinfo is not None
    assert uuid4() != uuid4()
    assert random().random() != random().random()
    record = logging.LogRecord("x", logging.INFO, "x", 1, "x", (), None)
    assert ReplayFilter().filter(record)
