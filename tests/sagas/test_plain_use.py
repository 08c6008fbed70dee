"""Outside a run, sagas and steps are plain functions; definitions are found by name, once."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from amends.sagas import (
    DefinitionError,
    DeterminismWarning,
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
from amends.sagas.registry import SAGAS, saga_named


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
    assert (double.__name__, double.__doc__) == ("double", "Double a number.")
    assert (body.__name__, body.__doc__) == ("body", "Do both.")
    assert asyncio.run(halve(None, 2)) is None  # type: ignore[func-returns-value, misc, arg-type]  # a compensation stays a plain function


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


def load(path: Path, source: str) -> ModuleType:
    """Run a source file as a module."""
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


SOURCE = """
from amends.sagas import saga, step, Undo

@step(name="plain.defined.step")
async def does() -> int:
    return {number}

@does.compensation(name="plain.defined.undo")
async def undoes(undo: Undo[int]) -> None: ...

@saga(name="plain.defined.saga")
async def body() -> int:
    return await does()
"""


def test_defined_again_from_the_same_file_replaces(tmp_path: Path) -> None:
    """Section 2, Runs: reloading a module is no error."""
    file = tmp_path / "plain_shop.py"
    load(file, SOURCE.format(number=1))
    again = load(file, SOURCE.format(number=2))
    assert saga_named("plain.defined.saga") is again.body
    assert asyncio.run(saga_named("plain.defined.saga")()) == 2


@pytest.mark.parametrize("what", ["saga", "step", "compensation"])
def test_defined_again_from_another_file_is_an_error(tmp_path: Path, what: str) -> None:
    """Section 2, Runs: two things of one name are told apart by a person, not by the order of imports."""
    load(tmp_path / f"plain_first_{what}.py", SOURCE.format(number=1).replace("plain.defined", f"plain.{what}"))
    others = {
        "saga": f'from amends.sagas import saga\n@saga(name="plain.{what}.saga")\nasync def b() -> None: ...\n',
        "step": f'from amends.sagas import step\n@step(name="plain.{what}.step")\nasync def b() -> None: ...\n',
        "compensation": (
            "from amends.sagas import step, Undo\n"
            f'@step(name="plain.{what}.other")\nasync def b() -> None: ...\n'
            f'@b.compensation(name="plain.{what}.undo")\nasync def c(undo: Undo[None]) -> None: ...\n'
        ),
    }
    with pytest.raises(DefinitionError, match=r"defined twice, in .*plain_first.* and in .*plain_second"):
        load(tmp_path / f"plain_second_{what}.py", others[what])


def test_a_failed_definition_keeps_the_first(tmp_path: Path) -> None:
    """Section 2: the first definition stays what it was."""
    first = load(tmp_path / "plain_kept.py", SOURCE.format(number=1).replace("plain.defined", "plain.kept"))
    with pytest.raises(DefinitionError):
        load(tmp_path / "plain_lost.py", SOURCE.format(number=2).replace("plain.defined", "plain.kept"))
    assert SAGAS.get(("plain.kept.saga", "1")) is first.body


def test_a_plain_function_can_not_be_a_saga() -> None:
    """Section 2: a saga is an `async def`."""
    with pytest.raises(DefinitionError, match="async def"):

        @saga  # type: ignore[type-var]  # on purpose
        def wrong() -> None: ...


def test_a_body_that_reads_the_clock_is_reported() -> None:
    """Section 2, Bodies: the real clock in a body is a warning that names the line."""
    import time  # noqa: PLC0415 - as a body's module would

    with pytest.warns(DeterminismWarning, match=r"test_plain_use.py:\d+"):

        @saga(name="plain.clock")
        async def clocked() -> float:
            return time.time()

    with warnings.catch_warnings():
        warnings.simplefilter("error")

        @saga(name="plain.now")
        async def right() -> str:
            return str(now())


@pytest.mark.parametrize("kind", [asyncio.Event, type(logging.getLogger()), ModuleType], ids=repr)
def test_an_annotation_without_json_form_is_refused_at_decoration(kind: Any) -> None:
    """Section 2: pass data, and get clients from `current_step().resources`."""

    async def takes(thing: kind) -> None: ...

    async def gives() -> kind: ...

    for fn in (takes, gives):
        with pytest.raises(DefinitionError, match=r"no JSON form.*current_step\(\)\.resources"):
            step(fn)
    with pytest.raises(DefinitionError, match="no JSON form"):
        saga(takes)
