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
from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Json,
    PlainSerializer,
    computed_field,
)
from typing_extensions import TypedDict

from amends.sagas import Coordinator, InputInvalid, ResultInvalid, saga, step
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


class Renamed(BaseModel):
    model_config = ConfigDict(extra="forbid", serialize_by_alias=True)

    order_id: int = Field(alias="orderId")
    written: str = Field(serialization_alias="Written")
    read: str = Field("default", validation_alias="Read")
    deep: int = Field(validation_alias=AliasPath("a", "b"))
    either: int = Field(validation_alias=AliasChoices("one", AliasPath("two", 0)))
    raw: Json[list[int]] = [1]

    @computed_field
    def twice(self) -> int:
        return 2 * self.order_id


class Crossed(BaseModel):
    first: int = Field(alias="second")
    second: int = Field(alias="first")
    inner: dict[str, int] = Field(validation_alias=AliasPath("inner", "x"))


class Nested(BaseModel):
    lines: list[Renamed] = Field(alias="theLines")
    tags: set[str] = Field(alias="theTags")


@dataclass
class Aliased:
    sku: Annotated[str, Field(alias="SKU")]


Roman = Annotated[
    int,
    BeforeValidator(lambda value: len(value) if isinstance(value, str) else value),
    PlainSerializer(lambda value: "I" * value, return_type=str),
]
RENAMED = Renamed.model_validate(
    {"orderId": 3, "written": "w", "Read": "r", "a": {"b": 4}, "two": [5], "raw": "[7]"}
)
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
    (Renamed, RENAMED),
    (Nested, Nested.model_validate({"theLines": [RENAMED], "theTags": {"b", "a"}})),
    (Crossed, Crossed.model_validate({"second": 1, "first": 2, "inner": {"x": {"x": 3}}})),
    (list[Aliased], [Aliased(sku="a")]),
    (Roman, 3),
    (Annotated[Line, "a word for the reader"], LINE),
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


Positive = Annotated[int, Field(gt=0)]


class OrderLine(BaseModel):
    order_id: int = Field(alias="orderId")


@on_a_loop
async def test_a_model_is_read_by_alias_and_by_name(sqlite_url: str) -> None:
    """Section 2: what comes from outside may use either."""

    @saga
    async def body(line: OrderLine) -> int:
        return line.order_id

    given: list[Any] = [{"orderId": 3}, {"order_id": 3}, OrderLine(orderId=3)]
    assert [await result_of(sqlite_url, body, one) for one in given] == [3, 3, 3]


@on_a_loop
async def test_a_constraint_in_annotated_holds(sqlite_url: str) -> None:
    """S26: `Field(gt=0)` is part of the annotation, for sagas, for steps and for their results."""
    charged: list[int] = []

    @step
    async def charge(amount: Positive) -> Positive:
        charged.append(amount)
        return amount - 5

    @saga
    async def body(amount: Positive, less: int) -> str:
        try:
            await charge(amount - less)
        except (InputInvalid, ResultInvalid) as error:
            return str(error)
        return "charged"

    assert "amount: input should be greater than 0, not -1" in await result_of(sqlite_url, body, 1, 2)
    assert "has landed: input should be greater than 0, not -4" in await result_of(sqlite_url, body, 1, 0)
    assert charged == [1]
    async with Coordinator(sqlite_url) as coordinator:
        with pytest.raises(InputInvalid, match="amount: input should be greater than 0, not -5"):
            await coordinator.start(body, -5, 0)


def refuse(value: int) -> int:
    raise KeyError(value)


@on_a_loop
async def test_a_validator_that_breaks_is_told_as_one_that_refuses(sqlite_url: str) -> None:
    """S26: whatever a validator raises, the argument doesn't fit, and the result has landed."""

    @step
    async def broken() -> Annotated[int, AfterValidator(refuse)]:
        return 3

    @saga
    async def body() -> str:
        try:
            return str(await broken())
        except ResultInvalid as error:
            return str(error)

    assert "although its effect has landed: 3" in await result_of(sqlite_url, body)


@on_a_loop
async def test_what_does_not_fit_is_told_in_one_line(sqlite_url: str) -> None:
    """House style 4: words for a person, without pydantic's address."""

    @saga
    async def body(lines: list[OrderLine]) -> None: ...

    wrong: Any = [{"orderId": "x"}, {}]
    async with Coordinator(sqlite_url) as coordinator:
        with pytest.raises(InputInvalid) as caught:
            await coordinator.start(body, wrong)
    told = str(caught.value)
    assert told.endswith(
        "lines.0.orderId: input should be a valid integer, unable to parse string as an integer, not 'x';"
        " lines.1.orderId: required, and missing"
    )
    assert "\n" not in told
