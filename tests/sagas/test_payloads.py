"""Arguments and results: JSON by their annotations, the same on both databases, as they will be on replay."""

from __future__ import annotations

import datetime as dt
import math
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from amends.sagas import Coordinator, saga, step
from tests.sagas.running import on_a_loop, result_of

T = TypeVar("T")
NAIVE = dt.datetime(2024, 2, 29, 23, 59, 59, 999_999)  # noqa: DTZ001 - naive on purpose
AWARE = dt.datetime(2024, 2, 29, 12, tzinfo=dt.timezone(dt.timedelta(hours=-3, minutes=-30)))


class Colour(Enum):
    RED = "red"


class Line(BaseModel):
    sku: str
    price: Decimal
    when: dt.datetime
    notes: dict[str, list[int | None]] = {}


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    name: str


class Box(BaseModel, Generic[T]):
    inside: T


class Place(NamedTuple):
    x: float
    y: float


class Options(TypedDict, total=False):
    depth: int


@dataclass
class Parcel:
    lines: list[Line]
    tags: set[str] = field(default_factory=set)
    weight: float = 0.0


Pet = Annotated[Cat | Dog, Field(discriminator="kind")]
LINE = Line(sku="a", price=Decimal("0.10"), when=AWARE, notes={"ü": [1, None]})
VALUES: list[tuple[Any, Any]] = [
    (Line, LINE),
    (Parcel, Parcel([LINE], {"b", "a"}, 1.5)),
    (Pet, Dog(name="Rex")),
    (Box[Line], Box[Line](inside=LINE)),
    (Place, Place(1.0, -2.5)),
    (Colour, Colour.RED),
    (Decimal, Decimal("12345678901234567890.000000001")),
    (dt.datetime, AWARE),
    (dt.datetime, NAIVE),
    (dt.date, dt.date(2024, 2, 29)),
    (dt.time, dt.time(1, 2, 3)),
    (dt.timedelta, dt.timedelta(days=-1, microseconds=1)),
    (uuid.UUID, uuid.UUID(int=7)),
    (set[str], {"b", "a", "ä"}),
    (frozenset[int], frozenset({3, 1, 2})),
    (list[float], [0.1, -0.0, 1e308]),
    (int, 2**200),
    (str, "zero \0 snow ☃ clef 𝄞 line\n"),
    (dict[str, Any], {"": None, "k": [True, {"x": 1.5}]}),
    (dict[int, str], {1: "one", -2: "two"}),
    (tuple[int, str], (1, "a")),
    (tuple[int, ...], ()),
    (int | None, None),
    (str | int, "5"),
    (list[Line | None], [LINE, None]),
    (bool, False),
    (type(None), None),
]


@on_a_loop
async def test_every_value_comes_back_as_it_was(database_url: str) -> None:
    """Section 2: arguments and results are JSON through pydantic, driven by the annotations."""
    async with Coordinator(database_url) as coordinator:
        for number, (kind, value) in enumerate(VALUES):
            await comes_back(coordinator, f"payloads{number}", kind, value)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Options, {"depth": 3}),
        (bytes, bytes(range(256))),
        (list[bytes], [b"", b"\xff"]),
        (float, math.inf),
        (dict[str, float], {"least": -math.inf}),
    ],
)
@on_a_loop
async def test_what_plain_json_lacks_comes_back_as_it_was(sqlite_url: str, kind: Any, value: Any) -> None:
    """Faults, to be survived: the infinities, bytes and typed dicts survive as arguments."""
    async with Coordinator(sqlite_url) as coordinator:
        await comes_back(coordinator, "payloads", kind, value)


async def comes_back(coordinator: Coordinator, name: str, kind: Any, value: Any) -> None:
    seen: list[Any] = []

    async def echo(value: Any) -> Any:
        seen.append(value)
        return value

    async def body(value: Any) -> Any:
        got = await echo_step(value)
        seen.append(got)
        return got

    echo.__annotations__ = body.__annotations__ = {"value": kind, "return": kind}
    echo_step = step(name=f"{name}.echo")(echo)
    body_saga = saga(name=f"{name}.body")(body)
    run = await coordinator.start(body_saga, value)
    seen.append(await run.result(30))
    assert seen == [value, value, value], kind
    assert [type(one) for one in seen] == [type(value)] * 3, kind


@on_a_loop
async def test_nan_survives_where_a_float_is_annotated(database_url: str) -> None:
    """Faults, to be survived: NaN is the same on both stores."""

    @step
    async def echo(value: float) -> float:
        return value

    @saga
    async def body(value: float) -> float:
        return await echo(value)

    assert math.isnan(await result_of(database_url, body, math.nan))


@on_a_loop
async def test_every_kind_of_parameter_reaches_the_step(sqlite_url: str) -> None:
    """Section 2: positional-only, defaults, *args, keyword-only and **kwargs are recorded by name."""

    @step
    async def many(a: int, /, b: str, c: float = 1.5, *rest: int, d: bool, e: str = "e", **more: int) -> str:
        return repr((a, b, c, rest, d, e, more))

    @saga
    async def body() -> list[str]:
        return [
            await many(1, "b", d=True),
            await many(1, b="b", d=False, e="x"),
            await many(1, "b", 2, 3, 4, d=True, x=5, y=6),
        ]

    assert await result_of(sqlite_url, body) == [
        repr((1, "b", 1.5, (), True, "e", {})),
        repr((1, "b", 1.5, (), False, "x", {})),
        repr((1, "b", 2.0, (3, 4), True, "e", {"x": 5, "y": 6})),
    ]


@on_a_loop
async def test_a_saga_with_defaults_may_be_started_without_them(sqlite_url: str) -> None:
    """S17: the recorded input holds the defaults too."""

    @saga
    async def body(a: int, b: int = 2, *rest: int) -> list[int]:
        return [a, b, *rest]

    assert await result_of(sqlite_url, body, 1) == [1, 2]
    assert await result_of(sqlite_url, body, 1, 3, 4, 5) == [1, 3, 4, 5]


@on_a_loop
async def test_the_body_gets_a_result_as_it_will_be_on_replay(sqlite_url: str) -> None:
    """Section 2: a result is encoded and decoded before the body sees it: it gets a copy."""
    kept: list[list[int]] = []

    @step
    async def numbers() -> list[int]:
        kept.append([1, 2])
        return kept[0]

    @saga
    async def body() -> list[int]:
        got = await numbers()
        got.append(3)
        return got

    assert await result_of(sqlite_url, body) == [1, 2, 3]
    assert kept == [[1, 2]]


@on_a_loop
async def test_a_dict_that_fits_the_model_is_taken_for_one(sqlite_url: str) -> None:
    """Section 2: what fits the annotation is validated into it, in arguments and in results."""

    @step
    async def price(line: Line) -> Cat:
        assert isinstance(line, Line)
        return {"lives": 9}  # type: ignore[return-value]  # on purpose

    @saga
    async def body(line: Line) -> int:
        anyhow: Any = price
        cat: Cat = await anyhow({"sku": "a", "price": "1", "when": "2024-01-01T00:00:00"})
        return cat.lives + len(line.notes)

    assert await result_of(sqlite_url, body, {"sku": "a", "price": 1, "when": NAIVE}) == 9


@on_a_loop
async def test_sets_are_written_in_sorted_order(sqlite_url: str) -> None:
    """Section 2: equal arguments give equal bytes, whatever the process's hash seed."""

    @step
    async def tags(words: set[str]) -> None: ...

    @saga
    async def body() -> None:
        await tags({"d", "b", "a", "c"})

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(body)
        await run.result(30)
        assert (await run.journal())[0].payload == b'{"words":["a","b","c","d"]}'


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb"])
@on_a_loop
async def test_a_lone_surrogate_is_refused_before_anything_is_done(sqlite_url: str, text: str) -> None:
    """S26: arguments are validated and encoded before F; what has no JSON form is an error in the body."""
    called: list[str] = []

    @step
    async def say(text: str) -> None:
        called.append(text)

    @saga
    async def body() -> str:
        try:
            await say(text)
        except ValueError as error:
            return type(error).__name__
        except Exception as error:  # noqa: BLE001 - which it is, is the question
            return type(error).__name__
        return "done"

    assert await result_of(sqlite_url, body) == "InputInvalid"
    assert called == []
