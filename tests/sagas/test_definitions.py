"""Definitions: by name, once, and refused where they can't work."""

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

from amends.sagas import DefinitionError, DeterminismWarning, Undo, now, saga, step
from amends.sagas.registry import SAGAS, saga_named


@pytest.mark.parametrize(
    ("options", "word"),
    [({"effect": "pure"}, "effect"), ({"on_unknown": "panic"}, "panic"), ({"effect": "READ"}, "effect")],
)
def test_an_unknown_option_is_refused_at_decoration(options: dict[str, Any], word: str) -> None:
    """House style 5: an option's value that means nothing is an error that lists what there is."""
    with pytest.raises(DefinitionError, match=word):
        step(**options)


def test_what_has_no_way_back_takes_no_compensation() -> None:
    """S15: reads, plain and irreversible steps are what they say."""
    for effect in ("read", "plain", "irreversible"):

        @step(name=f"effects.no_way_back.{effect}", effect=effect)
        async def one_way() -> None: ...

        with pytest.raises(DefinitionError, match="takes no compensation"):

            @one_way.compensation
            async def back(undo: Undo[None]) -> None: ...


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
    first = SOURCE.format(number=1).replace("plain.defined", f"plain.{what}")
    load(tmp_path / f"plain_first_{what}.py", first)
    others = {
        "saga": (
            f'from amends.sagas import saga\n@saga(name="plain.{what}.saga")\nasync def b() -> None: ...\n'
        ),
        "step": (
            f'from amends.sagas import step\n@step(name="plain.{what}.step")\nasync def b() -> None: ...\n'
        ),
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

        @saga  # type: ignore[arg-type]  # on purpose
        def wrong() -> None: ...


def test_a_body_that_reads_the_clock_is_reported() -> None:
    """Section 2, Bodies: the real clock in a body is a warning that names the line."""
    import time  # noqa: PLC0415 - as a body's module would

    with pytest.warns(DeterminismWarning, match=r"test_definitions.py:\d+"):

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

    async def takes(thing: Any) -> None: ...

    async def gives() -> Any: ...

    takes.__annotations__["thing"] = gives.__annotations__["return"] = kind
    for fn in (takes, gives):
        with pytest.raises(DefinitionError, match=r"no JSON form.*current_step\(\)\.resources"):
            step(fn)
    with pytest.raises(DefinitionError, match="no JSON form"):
        saga(takes)
