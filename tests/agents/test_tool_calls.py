"""What a model writes as arguments: taken as it means it, or told what is wrong, and never executed."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import os
import subprocess
import sys
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import AfterValidator, BaseModel, Field

from amends.agents import Misfit, ToolCall, Toolset, digest_of, tool
from tests.agents.asking import anything, texts


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


class Line(BaseModel):
    """One line of an order."""

    article: str = Field(alias="Article", description="its number")
    pieces: int = 1
    weight: float | None = None


@tool(effect="read")
def place_an_order(
    order: int,
    lines: list[Line],
    colour: Colour = Colour.RED,
    tags: set[str] = frozenset(),  # type: ignore[assignment]  # a default that nobody can change
    by: dt.date | None = None,
    price: Annotated[decimal.Decimal, Field(gt=0)] = decimal.Decimal("1.5"),
    speed: Literal["slow", "fast"] = "slow",
    seal: bytes = b"",
    more: Any = None,
) -> str:
    """Place an order.

    It can't be changed afterwards.

    Args:
        order (int): The order's
            number.
        lines: What is ordered.
    """
    return ""


@tool(effect="read", name="weigh_things")
def weigh(weight: float, note: Any = None) -> str:
    return ""


TOOLS = Toolset([place_an_order, weigh], "helper")
ORDER = '{"order": 7, "lines": []}'


def read(name: str, text: str) -> dict[str, Any]:
    return TOOLS.read(ToolCall("c1", name, text))[1]


@pytest.mark.parametrize(
    "name", ["Place_order", "place-order", "place_an_order ", "\u0440lace_order", "", "\ud800", "other"]
)
def test_a_tool_that_is_not_there_is_told_with_those_that_are(name: str) -> None:
    """A1: a changed case or a look-alike letter names no tool."""
    with pytest.raises(Misfit, match="there are: place_an_order, weigh_things") as told:
        TOOLS.read(ToolCall("c1", name, ORDER))
    str(told.value).encode()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "weight: Field required"),
        ("null", "not NoneType"),
        ("[]", "not list"),
        ('"x"', "not str"),
        ("{", "no JSON"),
        ('{"weight": 1} x', "no JSON"),
        ('{"weight": 1, "weight": 2}', "'weight' twice"),
        ('{"weight": 1, "note": {"a": 1, "b": 2, "a": 3}}', "'a' twice"),
        ('{"weight": NaN}', "NaN is no JSON"),
        ('{"weight": -Infinity}', "-Infinity is no JSON"),
        ('{"weight": 1e999}', "1e999 is beyond"),
        ('{"weight": 1, "note": [1e999]}', "1e999 is beyond"),
        ('{"weight": "Infinity"}', "finite"),
        ('{"weight": "nan"}', "finite"),
        ('{"weight": 1, "note": ' + "1" * 5000 + "}", "too many digits"),
        ('{"weight": 1, "note": "\\ud800"}', "lone surrogate"),
        ('{"weight": 1, "note": "\ud800"}', "lone surrogate"),
        ('{"weight": 1, "\\udc00": 2}', "lone surrogate"),
        ('{"weight": 1, "weigth": 2}', "weigth: Unexpected"),
        ('{"Weight": 1}', "weight: Field required"),
        ('{"weight": "heavy"}', "weight: Input should be a valid number"),
        ('{"weight": 1, "note": ' + "[" * 500 + "]" * 500 + "}", "recursion limit"),
        ('{"weight": 1, "note": ' + "[" * 200_000 + "]" * 200_000 + "}", "nested too deep"),
        ('{"weight": 1, "note": "' + "x" * (1 << 20) + '"}', "too long"),
        ('{"weight": 1, "note": "' + "é" * (1 << 19) + '"}', "too long"),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_arguments_that_are_in_doubt_are_told_to_the_model(text: str, words: str) -> None:
    """A1: two readers could take them for different things, so nobody gets them."""
    with pytest.raises(Misfit) as told:
        read("weigh_things", text)
    assert words in str(told.value)
    assert len(str(told.value)) < 2_000
    str(told.value).encode()


def test_a_model_is_told_all_that_does_not_fit_at_once_up_to_a_bound() -> None:
    """A1: one attempt is enough to mend everything; a long list of mistakes costs few tokens."""
    lines = ", ".join(["{}"] * 50)
    with pytest.raises(Misfit) as told:
        read("place_an_order", f'{{"order": "seven", "lines": [{lines}]}}')
    assert "order: Input should be a valid integer" in str(told.value)
    assert "lines.0.Article: Field required" in str(told.value)
    assert str(told.value).endswith("; and 31 more")


def test_a_number_written_as_text_is_taken_for_what_it_means() -> None:
    """Section 6: models write "7" for 7; a refusal would cost a turn and tell them nothing."""
    assert read("place_an_order", '{"order": "7", "lines": []}')["order"] == 7


def test_what_is_taken_is_what_the_journal_gives_back() -> None:
    """A10: arguments are shown, approved, recorded and executed as one and the same value."""
    arguments = read(
        "place_an_order",
        '{"order": 7, "lines": [{"Article": "kettle"}], "tags": ["b", "a"], "seal": "AP8=",'
        ' "price": "2.50", "by": "2030-01-02"}',
    )
    assert arguments["seal"] == b"\x00\xff"
    record = place_an_order.arguments.encode_named(arguments)
    assert place_an_order.parameters.encoded(arguments) == record
    assert place_an_order.arguments.decode(record) == arguments
    assert place_an_order.parameters.checked(record) == arguments


def test_arguments_that_never_settle_are_refused() -> None:
    """A10: a validator that changes them each time would have people approve something else than is done."""

    @tool(effect="read")
    def doubling(count: Annotated[int, AfterValidator(lambda count: count * 2)]) -> None: ...

    with pytest.raises(Misfit, match="become others"):
        doubling.parameters.read('{"count": 1}')
    assert doubling.parameters.read('{"count": 0}') == {"count": 0}


def test_a_validator_that_breaks_is_told_to_the_model() -> None:
    """A1: whatever a type's own code raises."""

    def broken(value: str) -> str:
        return {"a": "b"}[value]

    @tool(effect="read")
    def breaking(word: Annotated[str, AfterValidator(broken)]) -> None: ...

    with pytest.raises(Misfit):
        breaking.parameters.read('{"word": "z"}')


def test_a_default_is_a_part_of_what_is_approved_and_shared_by_nobody() -> None:
    """A10: left out and written out are one call, with one digest."""

    @tool(effect="read")
    def listing(words: list[str] = ["a"]) -> None: ...  # noqa: B006 - that it stays as it is is the claim

    first = listing.parameters.read("{}")
    first["words"].append("b")
    again = listing.parameters.read("{}")
    assert again == listing.parameters.read('{"words": ["a"]}') == {"words": ["a"]}


def digest(text: str) -> str:
    return digest_of("place_an_order", place_an_order.parameters.encoded(read("place_an_order", text)))


def test_the_digest_is_of_what_is_meant_and_of_nothing_else() -> None:
    """A10: the order of names, white space and defaults make no difference; every value and the tool do."""
    assert digest(ORDER) == digest('{"lines":[],"order":7,"colour":"red","price":"1.5"}')
    others = [
        '{"order": 8, "lines": []}',
        '{"order": 7, "lines": [], "more": 7}',
        '{"order": 7, "lines": [], "more": "7"}',
        '{"order": 7, "lines": [], "more": 7.0}',
        '{"order": 7, "lines": [], "more": {"a": null}}',
        '{"order": 7, "lines": [], "more": {}}',
    ]
    assert len({digest(text) for text in (ORDER, *others)}) == 1 + len(others)
    assert digest_of("weigh_things", b"{}") != digest_of("place_an_order", b"{}")


def test_the_digest_and_the_schema_are_the_same_in_every_process() -> None:
    """A10: an approval outlives the process that asked, and replay compares what it asks, byte by byte."""
    program = """
from amends.agents import digest_of, tool

def pack(tags: set[str], near: dict[str, frozenset[str]] = {}) -> None: ...

made = tool(effect="read")(pack)
arguments = made.parameters.read('{"tags": ["a", "b", "c", "d", "e"], "near": {"x": ["f", "g", "h"]}}')
record = made.parameters.encoded(arguments)
print(record, digest_of("pack", record), made.spec)
"""
    told = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1


@given(anything.map(json.dumps) | texts)
def test_whatever_a_model_writes_it_is_taken_or_told(text: str) -> None:
    """A1: `read` gives arguments or raises `Misfit`, and nothing else."""
    for name in ("place_an_order", "weigh_things"):
        try:
            read(name, text)
        except Misfit as told:
            str(told).encode()


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
CALLS = st.fixed_dictionaries(
    {"order": st.integers(-(2**70), 2**70), "lines": st.lists(
        st.fixed_dictionaries(
            {"Article": st.text()},
            optional={"pieces": st.integers(), "weight": st.none() | st.floats() | st.just("inf")},
        ),
        max_size=2,
    )},
    optional={
        "colour": st.sampled_from(["red", "blue", "green"]),
        "tags": st.lists(st.text(max_size=3), max_size=4),
        "by": st.dates().map(str) | st.none(),
        "price": st.decimals(allow_nan=False, allow_infinity=False).map(str) | st.floats(0, 1e9),
        "speed": st.sampled_from(["slow", "fast"]),
        "seal": st.text("AQgw=", max_size=4),
        "more": PLAIN,
    },
)  # fmt: skip


@given(CALLS)
def test_a_call_that_is_taken_survives_the_journal_as_it_is(call: dict[str, Any]) -> None:
    """A10: the function gets what was read, and the digest of the record is the digest of the call."""
    try:
        arguments = read("place_an_order", json.dumps(call))
    except Misfit:
        return
    record = place_an_order.arguments.encode_named(arguments)
    decoded = place_an_order.arguments.decode(record)
    assert decoded == arguments
    assert place_an_order.parameters.encoded(decoded) == record
    assert place_an_order.parameters.checked(record) == arguments


@given(CALLS)
def test_what_fits_the_schema_in_the_plainest_way_is_taken(call: dict[str, Any]) -> None:
    """Section 6: the schema tells the model the truth: what fits it isn't refused for its form."""
    for name in ("price", "seal", "more"):
        call.pop(name, None)
    for line in call["lines"]:
        line.pop("weight", None)
    if Draft202012Validator(place_an_order.spec.schema).is_valid(call):
        read("place_an_order", json.dumps(call))
