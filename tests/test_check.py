import asyncio
import asyncio as aio
import dataclasses
import datetime as dt
import functools
import os
import random
import random as rnd
import secrets
import subprocess
import sys
import time
import time as t
import uuid
from collections.abc import Callable
from datetime import date
from datetime import datetime as moment
from os import environ, getenv
from pathlib import Path
from random import choice
from random import random as chance
from time import sleep as pause
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from amends.sagas.check import DeterminismWarning, Finding, check_body

clock = time.time


def use(*_: object) -> None:
    """Do something with a value."""


shared = random.Random(7)  # noqa: S311 - seeded


def ours() -> SimpleNamespace:
    """Return stand-ins for the names of amends.sagas."""
    made = SimpleNamespace()
    for name in ("now", "uuid4", "random", "sleep", "step"):
        source = f"def {name}(*arguments): return arguments[0] if arguments else None"
        exec(source, {"__name__": "amends.sagas.body"}, vars(made))  # noqa: S102 - names of our own
    return made


def found(fn: Any) -> list[str]:
    return [finding.what for finding in check_body(fn)]


async def clocks() -> None:
    moment.now()  # noqa: DTZ005 - what the check is for
    moment.now(dt.UTC)
    dt.datetime.utcnow()  # noqa: DTZ003 - what the check is for
    date.today()  # noqa: DTZ011 - what the check is for
    t.time()
    time.time_ns()
    time.monotonic()
    time.perf_counter()
    clock()


async def sleeps() -> None:
    time.sleep(1)  # noqa: ASYNC251 - what the check is for
    pause(1)  # noqa: ASYNC251 - what the check is for


async def identities() -> None:
    uuid.uuid4()
    uuid4()
    uuid.uuid1()


async def chances() -> None:
    random.random()  # noqa: S311 - what the check is for
    chance()  # noqa: S311 - what the check is for
    rnd.randint(1, 6)  # noqa: S311 - what the check is for
    choice([1, 2])  # noqa: S311 - what the check is for
    shared.shuffle([1, 2])
    random.Random()  # noqa: S311 - what the check is for
    random.SystemRandom().random()


async def secret_chances() -> None:
    secrets.token_hex()
    secrets.choice([1, 2])
    secrets.randbelow(3)
    os.urandom(8)


async def environment() -> None:
    os.environ["HOME"]
    os.environ.get("HOME")
    os.getenv("HOME")
    environ["HOME"]
    getenv("HOME")


async def tasks() -> None:
    for task in asyncio.all_tasks():
        task.cancel()
    aio.all_tasks()


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (
            clocks,
            [
                "datetime.datetime.now",
                "datetime.datetime.now",
                "datetime.datetime.utcnow",
                "datetime.date.today",
                "time.time",
                "time.time_ns",
                "time.monotonic",
                "time.perf_counter",
                "time.time",
            ],
        ),
        (sleeps, ["time.sleep", "time.sleep"]),
        (identities, ["uuid.uuid4", "uuid.uuid4", "uuid.uuid1"]),
        (
            chances,
            [
                "random.random",
                "random.random",
                "random.randint",
                "random.choice",
                "random.shuffle",
                "random.Random() without a seed",
                "secrets.SystemRandom",
            ],
        ),
        (secret_chances, ["secrets.token_hex", "secrets.choice", "secrets.randbelow", "os.urandom"]),
        (environment, ["os.environ", "os.environ", "os.getenv", "os.environ", "os.getenv"]),
        (tasks, ["asyncio.all_tasks", "asyncio.all_tasks"]),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_what_differs_on_replay_is_found_however_it_was_imported(body: Any, names: list[str]) -> None:
    assert found(body) == names


def test_finding_names_file_line_and_what_to_use_instead() -> None:
    async def body() -> None:
        time.time()

    line = body.__code__.co_firstlineno + 1

    assert check_body(body) == [Finding(__file__, line, "time.time", "amends.sagas.now()")]
    assert str(check_body(body)[0]) == (
        f"{__file__}:{line}: time.time differs when the saga is replayed; use amends.sagas.now()"
    )


def test_finding_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Finding("file", 1, "what", "instead").line = 2  # type: ignore[misc]


def test_warning_is_a_users_warning() -> None:
    assert issubclass(DeterminismWarning, UserWarning)


def test_names_of_amends_are_never_found() -> None:
    sagas = ours()
    now, uuid4, random, sleep = sagas.now, sagas.uuid4, sagas.random, sagas.sleep

    async def body() -> None:
        now()
        uuid4()
        random().choice([1])
        sleep(1)

    assert found(body) == []


def test_what_is_deterministic_is_not_found() -> None:
    async def body(items: list[int]) -> None:
        dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
        dt.datetime.fromisoformat("2026-01-01")
        uuid.uuid5(uuid.NAMESPACE_URL, "x")
        random.Random(7).random()  # noqa: S311 - seeded
        secrets.compare_digest("a", "b")
        await asyncio.sleep(1)
        os.path.join("a", "b")  # noqa: PTH118 - reads nothing
        time.strftime("%Y", time.gmtime(0))
        for item in items:
            use(item)

    assert found(body) == []


async def iterates_sets(ids: list[int]) -> None:
    for each in {1, 2}:  # noqa: PLC0208 - what the check is for
        use(each)
    for each in set(ids):
        use(each)
    for each in frozenset(ids):
        use(each)
    for each in {each for each in ids}:  # noqa: C416 - what the check is for
        use(each)
    [each for each in set(ids)]  # noqa: C416 - what the check is for
    {each: 1 for each in set(ids)}  # noqa: C420 - what the check is for
    for each in set(ids) - {1}:
        use(each)
    for _, each in enumerate(set(ids)):
        use(each)
    list({1, 2})
    use(*{1, 2})
    unique = set(ids)
    for each in unique:
        use(each)
    [await asyncio.sleep(0, each) for each in unique]
    sorted([await asyncio.sleep(0, each) for each in unique])


def test_iterating_a_set_is_found() -> None:
    assert found(iterates_sets) == ["the order of a set"] * 13


def test_set_whose_order_does_not_show_is_not_found() -> None:
    async def body(ids: list[int], given: set[int]) -> None:
        for each in sorted({1, 2}):
            use(each)
        for each in sorted(set(ids)):
            use(each)
        sorted(each for each in set(ids))
        sorted(list(set(ids)))  # noqa: C414 - not found all the same
        use(len(set(ids)), max(set(ids)), 1 in {1, 2}, {each for each in set(ids)})  # noqa: C416
        unique = set(ids)
        unique = sorted(unique)  # type: ignore[assignment]
        for each in unique:
            use(each)

    assert found(body) == []


def test_set_given_a_name_in_an_outer_function_is_found() -> None:
    async def body(ids: list[int]) -> None:
        unique = set(ids)

        async def inner() -> None:
            for each in unique:
                use(each)

        await inner()

    assert found(body) == ["the order of a set"]


def test_nested_functions_count() -> None:
    async def body() -> None:
        async def inner() -> float:
            return time.time()

        await inner()
        later: Callable[[], uuid.UUID] = lambda: uuid.uuid4()  # noqa: E731, PLW0108 - what the check is for
        later()

    assert found(body) == ["time.time", "uuid.uuid4"]


def test_nested_step_may_ask_for_anything() -> None:
    step: Callable[[Any], Any] = ours().step

    async def body() -> None:
        @step
        def one() -> float:
            return time.time()

        @one.compensation  # type: ignore[untyped-decorator] # stands in for ours
        def undo_one() -> float:
            return time.time()

    assert found(body) == []


def test_local_name_hides_the_module() -> None:
    async def body(time: Any, random: Any, call: Any) -> None:
        time.time()
        random.random()
        uuid: Any = call
        uuid.uuid4()

    assert found(body) == []


def test_import_inside_the_body_is_followed() -> None:
    async def body() -> None:
        import random as dice  # noqa: PLC0415 - what the check is for
        import time  # noqa: PLC0415 - what the check is for
        from uuid import uuid4 as identity  # noqa: PLC0415 - what the check is for

        time.time()
        dice.random()  # noqa: S311 - what the check is for
        identity()

    assert found(body) == ["time.time", "random.random", "uuid.uuid4"]


def test_closure_is_followed() -> None:
    tick = time.monotonic

    async def body() -> None:
        tick()

    assert found(body) == ["time.monotonic"]


def test_function_passed_on_is_found() -> None:
    async def body() -> None:
        list(map(uuid.UUID, [str(uuid.uuid4)]))

    assert found(body) == ["uuid.uuid4"]


def test_arguments_of_a_call_are_looked_at() -> None:
    async def body(call: Callable[..., Any]) -> None:
        await call(call(at=moment.now(dt.UTC)))

    assert found(body) == ["datetime.datetime.now"]


def test_decorators_and_defaults_of_the_body_are_left_alone() -> None:
    def decorated(_at: float) -> Callable[[Any], Any]:
        return lambda fn: fn

    @decorated(time.time())
    async def body(at: float = time.time()) -> None:
        use(at)

    assert found(body) == []


def test_wrapped_function_is_unwrapped() -> None:
    @functools.wraps(clocks)
    async def wrapper() -> None:
        await clocks()

    assert found(wrapper) == found(clocks)


def test_method_is_read() -> None:
    class Orders:
        async def body(self) -> None:
            text = """
not indented as the code is"""
            use(text)
            time.time()

    assert found(Orders().body) == ["time.time"]
    assert check_body(Orders.body)[0].line == Orders.body.__code__.co_firstlineno + 4


def test_name_that_is_defined_later_is_no_error() -> None:
    async def body() -> None:
        not_yet_defined.now()  # type: ignore[name-defined] # noqa: F821

    assert found(body) == []


class Odd:
    def __getattr__(self, name: str) -> Any:
        raise LookupError(name)

    def __eq__(self, other: object) -> bool:
        raise LookupError

    __hash__ = None  # type: ignore[assignment]


odd = Odd()


async def uses_odd_things() -> None:
    odd.anything()
    odd()  # type: ignore[operator]
    time.time()


def test_odd_objects_hide_nothing() -> None:
    assert found(uses_odd_things) == ["time.time"]


NAMESPACE: dict[str, Any] = {}
exec("async def typed_in(): import time; time.time()", NAMESPACE)  # noqa: S102 - as a prompt does


ODD = [
    None,
    1,
    "text",
    len,
    print,
    int,
    Odd(),
    Odd,
    time.time,
    functools.partial(print, 1),
    NAMESPACE["typed_in"],
    vars(dataclasses.make_dataclass("Made", ["field"]))["__init__"],
    (lambda: 1),
    asyncio.sleep,
    {}.get,
    property(lambda self: self),
]


@pytest.mark.parametrize("place", range(len(ODD)))
def test_odd_input_has_no_findings(place: int) -> None:
    value: Any = ODD[place]
    assert check_body(value) == []


def test_lambda_is_read() -> None:
    assert found(lambda: time.time()) == ["time.time"]  # noqa: PLW0108 - what the check is for


def test_function_wrapped_in_a_circle_has_no_findings() -> None:
    async def body() -> None: ...

    body.__wrapped__ = body  # type: ignore[attr-defined]

    assert check_body(body) == []


def test_source_that_is_gone_has_no_findings(tmp_path: Path) -> None:
    script = tmp_path / "gone.py"
    script.write_text(
        "import os, sys\n"
        "from amends.sagas.check import check_body\n"
        "async def body():\n    os.environ\n"
        "os.remove(__file__)\n"
        "print(check_body(body))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
