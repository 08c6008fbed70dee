"""Definitions: by name, once, and refused where they can't work."""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import importlib.util
import logging
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from amends.sagas import (
    Coordinator,
    DefinitionError,
    DeterminismWarning,
    InputInvalid,
    Retry,
    Undo,
    now,
    saga,
    step,
)
from amends.sagas.registry import SAGAS, saga_named


@pytest.mark.parametrize(
    ("options", "word"),
    [({"effect": "pure"}, "effect"), ({"on_unknown": "panic"}, "panic"), ({"effect": "READ"}, "effect")],
)
def test_an_unknown_option_is_refused_at_decoration(options: dict[str, Any], word: str) -> None:
    """House style 5: an option's value that means nothing is an error that lists what there is."""
    with pytest.raises(DefinitionError, match=word):
        step(**options)


def test_an_unknown_value_is_told_the_values_of_its_own_option() -> None:
    """House style 5: what `effect=` takes is no answer for `on_unknown=`."""
    effects = "'read', 'compensatable', 'plain', 'pivot', 'retriable', 'irreversible'"
    with pytest.raises(DefinitionError) as caught:
        step(effect="nope")
    assert str(caught.value) == f"@step: effect='nope' is not one of {effects}"
    with pytest.raises(DefinitionError) as caught:
        step(on_unknown="nope")
    policies = "'retry', 'compensate', 'park', a probe function"
    assert str(caught.value) == f"@step: on_unknown='nope' is not one of {policies}"


SECOND = dt.timedelta(seconds=1)
UNNAMED = ("", "a\0b", "two\nlines", "\udc80", "x" * 501, 7)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"timeout": 5}, "timeout=5 must be a timedelta"),
        ({"timeout": -SECOND}, "must be at least 1 ms"),
        ({"timeout": dt.timedelta.max}, "at most 36500 days"),
        ({"heartbeat": 5}, "heartbeat=5 must be a timedelta"),
        ({"heartbeat": dt.timedelta(0)}, "must be at least 1 ms"),
        ({"heartbeat": 61 * SECOND}, "must be at most timeout=0:01:00"),
        ({"retry": 3}, r"retry=3 must be a Retry, such as Retry\(attempts=3\)"),
        ({"no_effect": "ValueError"}, "no_effect= takes an exception class"),
        ({"no_effect": (ValueError, 3)}, "no_effect= takes an exception class or a tuple of them, not 3"),
        *(({"name": name}, "a step's name is a printable text") for name in UNNAMED),
    ],
)
def test_an_option_of_a_step_that_means_nothing_is_refused(options: dict[str, Any], words: str) -> None:
    """House style 5: at decoration, in words that say what to give."""
    with pytest.raises(DefinitionError, match=words):
        step(**options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"retry": 3}, "retry=3 must be a Retry"),
        ({"timeout": 5}, "timeout=5 must be a timedelta"),
        ({"version": 1.5}, "version= is a printable text"),
        *(({"name": name}, "a compensation's name is a printable text") for name in UNNAMED),
    ],
)
def test_an_option_of_a_compensation_that_means_nothing_is_refused(
    options: dict[str, Any], words: str
) -> None:
    """House style 5: as for steps."""

    @step(name="defined.undone")
    async def does() -> None: ...

    async def undoes(undo: Undo[None]) -> None: ...

    with pytest.raises(DefinitionError, match=words):
        does.compensation(**options)(undoes)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"deadline": 3}, "deadline=3 must be a timedelta"),
        ({"deadline": -SECOND}, "must be at least 1 ms"),
        ({"deadline": dt.timedelta.max}, "at most 36500 days"),
        ({"version": ""}, "version= is a printable text"),
        ({"version": True}, "version= is a printable text"),
        *(({"name": name}, "a saga's name is a printable text") for name in UNNAMED),
    ],
)
def test_an_option_of_a_saga_that_means_nothing_is_refused(options: dict[str, Any], words: str) -> None:
    """House style 5: as for steps."""

    async def body() -> None: ...

    with pytest.raises(DefinitionError, match=words):
        saga(**options)(body)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"attempts": 2.5}, "attempts=2.5 must be a whole number"),
        ({"attempts": True}, "attempts=True must be a whole number"),
        ({"wait": 5}, "wait=5 must be a timedelta"),
        ({"wait": -SECOND}, "must not be negative"),
        ({"on": "x"}, "on= takes an exception class or a tuple of them, not 'x'"),
        ({"never": (3,)}, "never= takes an exception class or a tuple of them, not 3"),
        ({"stop": 3}, "stop=3 must be one of tenacity's"),
    ],
)
def test_a_policy_that_means_nothing_is_refused(options: dict[str, Any], words: str) -> None:
    """House style 5: where it is written, and not when the first attempt has failed."""
    with pytest.raises(DefinitionError, match=words):
        Retry(**options)


def generator() -> Any:
    yield 1


async def async_generator() -> Any:
    yield 1


@step(name="defined.already")
async def already() -> None: ...


@saga(name="defined.saga", version=2)
async def a_saga() -> None: ...


@pytest.mark.parametrize("fn", [int, len, 3, generator, async_generator, already, a_saga])
def test_only_a_function_that_returns_can_be_a_step(fn: Any) -> None:
    """Section 2: a step is a function, sync or async."""
    with pytest.raises(DefinitionError, match=r"is no function|yields|can't be a step besides"):
        step()(fn)


@pytest.mark.parametrize("fn", [int, 3, generator, async_generator])
def test_what_undoes_must_be_callable_and_return(fn: Any) -> None:
    """Section 2: a compensation may be a `partial` or another callable, but none that yields."""

    @step(name="defined.takes_nothing")
    async def takes_nothing() -> None: ...

    with pytest.raises(DefinitionError, match=r"is no function|yields"):
        takes_nothing.compensation(name="defined.undoes")(fn)
    takes_nothing.compensation(name="defined.undoes")(functools.partial(print))


def test_one_exception_class_stands_for_a_tuple_of_it() -> None:
    """House style 5: `no_effect=` and `never=` take either."""

    @step(name="defined.one_class", no_effect=KeyError, retry=Retry(never=OSError))
    async def one_class() -> None: ...

    assert one_class.options.no_effect == (KeyError,)
    assert one_class.retry.named() == (Exception, OSError)


def test_a_step_and_a_saga_name_themselves() -> None:
    """House style 4: a forgotten `()` reads well."""
    assert (repr(already), repr(a_saga)) == ("<step 'defined.already'>", "<saga 'defined.saga@2'>")


COUNTS = ("max_running", "max_steps", "threads", "max_payload", "poison_after")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        *(({option: 0}, f"{option}=0 must be at least 1") for option in COUNTS),
        *(({option: 1.5}, f"{option}=1.5 must be a whole number") for option in COUNTS),
        ({"lease": dt.timedelta(0)}, "must be at least 1 ms"),
        ({"lease": -SECOND}, "must be at least 1 ms"),
        ({"lease": 10}, "lease=10 must be a timedelta"),
        ({"grace": -SECOND}, "must be at least 0 and"),
        ({"grace": float("inf")}, "grace=inf must be a timedelta"),
        ({"sagas": already}, "sagas= takes a list of sagas"),
        ({"sagas": [already]}, "<step 'defined.already'> is not a saga; decorate it with @saga"),
    ],
)
def test_an_option_of_a_coordinator_that_means_nothing_is_refused(
    options: dict[str, Any], words: str
) -> None:
    """House style 5: before anything is opened."""
    with pytest.raises((InputInvalid, DefinitionError), match=words):
        Coordinator("sqlite:///nothing.db", **options)


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
    # Of another size: bytecode that is cached is told from other code by size and second.
    again = load(file, SOURCE.format(number=20))
    assert saga_named("plain.defined.saga") is again.body
    assert asyncio.run(saga_named("plain.defined.saga")()) == 20


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


@pytest.mark.parametrize("name", ["fields", "default", "metadata", "cls", "type", "schema"])
def test_a_parameter_may_be_called_as_pydantic_calls_its_own_things(name: str) -> None:
    """Section 2: a step's arguments are recorded whatever their names, sets among them sorted."""
    place: dict[str, Any] = {}
    exec(f"def named_{name}({name}: set[str]) -> None: ...", {}, place)  # noqa: S102 - our own text
    made = step(place[f"named_{name}"])
    assert made.arguments.encode(({"c", "a", "b"},), {}) == b'{"%s":["a","b","c"]}' % name.encode()
