"""Tools: what a model is shown of a function, and what it may write as its arguments."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field

from amends.agents import ApprovalPolicy, Tool, ToolCall, saga_tool, tool
from amends.agents.parameters import LARGEST, Misfit, digest_of
from amends.agents.toolset import Toolset
from amends.sagas import Coordinator, DefinitionError, Effect, Undo, saga
from tests.sagas.running import on_a_loop


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


class Guest(BaseModel):
    name: str
    age: int = Field(ge=0, description="in years")


@dataclasses.dataclass
class Stay:
    guests: list[Guest]
    nights: int = 1


@tool(effect="plain", limit=100)
async def book_room(
    stay: Stay,
    hotel: Annotated[str, Field(description="its name")],
    size: Size = Size.SMALL,
    board: Literal["none", "half"] | None = None,
    *,
    json: dict[str, list[int]] | None = None,
) -> dict[str, Any]:
    """Book a room.

    It is kept for a day.

    Args:
        stay: who comes,
            and for how long
        size: how large
    """
    return {"hotel": hotel, "guests": len(stay.guests), "json": json, "size": size, "board": board}


@tool
def undeclared(text: str) -> str:
    """Do something.

    :param text: what
    """
    return text


@tool(effect="read")
def numpy_style(count: int = 3) -> list[int]:
    """Count.

    Parameters
    ----------
    count : int
        how far
    """
    return list(range(count))


def test_a_model_is_shown_names_types_and_what_the_docstring_says() -> None:
    """Section 6: the schema is a valid one, says what is required, and takes nothing else."""
    spec = book_room.spec
    assert (spec.name, spec.description) == ("book_room", "Book a room.\n\nIt is kept for a day.")
    Draft202012Validator.check_schema(spec.schema)
    properties = spec.schema["properties"]
    assert list(properties) == ["stay", "hotel", "size", "board", "json"]
    assert properties["stay"]["description"] == "who comes, and for how long"
    assert properties["hotel"]["description"] == "its name"
    assert spec.schema["required"] == ["stay", "hotel"]
    assert spec.schema["additionalProperties"] is False
    assert spec.schema["$defs"]["Guest"]["properties"]["age"]["description"] == "in years"
    assert "title" not in json.dumps(spec.schema)
    assert undeclared.spec.schema["properties"]["text"]["description"] == "what"
    assert numpy_style.spec.schema["properties"]["count"]["description"] == "how far"


STAY = {"guests": [{"name": "Ann", "age": 7}]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "no JSON"),
        ("[]", "one JSON object, not list"),
        ('"x"', "one JSON object, not str"),
        ("{}", "stay: Field required"),
        (json.dumps({"stay": STAY, "hotel": 7}), "hotel: Input should be a valid string"),
        (json.dumps({"stay": STAY, "hotel": "x", "more": 1}), "more: Unexpected"),
        (json.dumps({"stay": {"guests": [{"name": "A", "age": -1}]}, "hotel": "x"}), "stay.guests.0.age"),
        ('{"hotel": "x", "hotel": "y"}', "say 'hotel' twice"),
        ('{"hotel": NaN}', "NaN is no JSON"),
        ('{"hotel": Infinity}', "Infinity is no JSON"),
        ('{"hotel": "\\ud800"}', "no text"),
        ('{"hotel": ' + "[" * 100_000, "nested too deep"),
        ('{"hotel": "' + "x" * LARGEST + '"}', "too long"),
    ],
)
def test_what_cant_be_the_arguments_is_told_to_the_model(text: str, words: str) -> None:
    """A1: each in a sentence from which it can do better; nothing is called."""
    with pytest.raises(Misfit) as caught:
        book_room.parameters.read(text)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 2_000


def test_arguments_come_as_the_function_wants_them() -> None:
    """Section 2: decoded by its annotations; numbers written as texts are numbers."""
    read = book_room.parameters.read(
        '{"stay": {"guests": [{"name": "A", "age": "7"}], "nights": "2"}, "hotel": "x", "size": "large"}'
    )
    assert read["stay"] == Stay([Guest(name="A", age=7)], 2)
    assert (read["size"], read["board"], read["json"]) == (Size.LARGE, None, None)
    assert numpy_style.parameters.read("") == {"count": 3}
    assert numpy_style.parameters.read('{"count": "5"}') == {"count": 5}


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.one_of(st.text(), ANY.map(lambda value: json.dumps(value, allow_nan=True))))
def test_whatever_a_model_writes_is_taken_or_refused(text: str) -> None:
    """A1: there is no third way, and what is taken comes through the journal as it is."""
    for each in (book_room, undeclared, numpy_style):
        try:
            arguments = each.parameters.read(text)
        except Misfit:
            continue
        recorded = each.arguments.encode_named(each.arguments.bind((), arguments))
        assert each.arguments.decode(recorded) == arguments
        assert each.parameters.checked(each.parameters.encoded(arguments)) == arguments


def test_silence_means_irreversible_and_an_approval() -> None:
    """A7: a declaration or a compensation says otherwise; so does approval=."""

    @tool
    def undoable(x: int) -> int:
        return x

    @undoable.compensation(name="tools.undo")
    def undo(undo: Undo[int], x: int) -> None: ...

    @tool(effect="irreversible")
    def declared(x: int) -> int:
        return x

    @tool(approval="never")
    def trusted(x: int) -> int:
        return x

    @tool(effect="read", approval="always")
    def guarded(x: int) -> int:
        return x

    @tool(effect="plain", approval=lambda x: x > 10)
    def limited(x: int) -> int:
        return x

    asked = {
        each.name: [x for x in (1, 11) if each.approval_for({"x": x}) is not None]
        for each in (undeclared_number, undoable, declared, trusted, guarded, limited)
    }
    assert asked == {
        "undeclared_number": [1, 11],
        "undoable": [],
        "declared": [],
        "trusted": [],
        "guarded": [1, 11],
        "limited": [11],
    }
    assert (undeclared_number.effect, undoable.effect) == (Effect.IRREVERSIBLE, Effect.COMPENSATABLE)


def print_nothing() -> None: ...


@tool
def undeclared_number(x: int) -> int:
    return x


def test_a_result_is_told_as_text_or_json_and_cut_with_a_word() -> None:
    """Section 6: large ones are cut, and the model is told how much is missing."""
    assert undeclared.told("as it is") == "as it is"
    assert numpy_style.told([1, 2]) == "[1,2]"
    told = book_room.told({"hotel": "x" * 200})
    assert told.startswith('{"hotel":"xxx')
    assert told.endswith("[cut: 100 of 212 characters are shown]")


def test_the_digest_is_of_tool_and_exact_arguments() -> None:
    """A10: nothing but the order in which they are written is left open."""
    assert digest_of("a", b'{"x":1,"y":2}') == digest_of("a", b'{"y": 2, "x": 1}')
    different = {digest_of("a", b'{"x":1}'), digest_of("b", b'{"x":1}'), digest_of("a", b'{"x":"1"}')}
    assert len(different) == 3


def test_tools_that_look_alike_are_refused() -> None:
    """A model mustn't be able to mistake one for the other."""

    @tool(name="Find-Order", effect="read")
    def one() -> None: ...

    @tool(name="find_order", effect="read")
    def two() -> None: ...

    with pytest.raises(DefinitionError, match="can't tell apart: 'Find-Order' and 'find_order'"):
        Toolset([one, two], "a")
    with pytest.raises(DefinitionError, match="is no tool"):
        Toolset([print], "a")  # type: ignore[list-item]  # on purpose
    tools = Toolset([one], "a")
    for name in ("find-order", "Find\N{HYPHEN}Order", "", "Find-Order ", "x" * 1_000_000):
        with pytest.raises(Misfit, match="there is no tool") as caught:
            tools.read(ToolCall("c", name, "{}"))
        assert len(str(caught.value)) < 300


def test_what_can_be_no_tool_is_refused_at_decoration() -> None:
    """Errors at the boundary say what to do."""
    with pytest.raises(DefinitionError, match="has 1 to 64 letters"):
        tool(name="find order")(lambda: None)
    with pytest.raises(DefinitionError, match="a model gives arguments by name"):

        @tool
        def many(*numbers: int) -> None: ...

    with pytest.raises(DefinitionError, match=r"can't be told its parameters|no JSON form"):

        @tool
        def strange(what: object, how: type) -> None: ...

    with pytest.raises(DefinitionError, match="can't be a tool besides"):
        tool(undeclared)
    with pytest.raises(DefinitionError, match="limit"):
        tool(limit=0)(print_nothing)
    with pytest.raises(DefinitionError, match='takes "always", "never"'):
        tool(approval="sometimes")(print_nothing)
    with pytest.raises(DefinitionError, match="sticky='yes'"):
        ApprovalPolicy(sticky="yes")


@on_a_loop
async def test_a_tool_is_a_step_in_a_body_and_a_function_outside(sqlite_url: str) -> None:
    """Section 2: with its journal, and what undoes it."""

    @saga(name="tools.uses")
    async def uses() -> list[int]:
        return await numpy_style(2)

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(uses)
        assert await run.result(30) == [0, 1]
        assert (await run.journal())[0].name == "numpy_style"
    assert isinstance(numpy_style, Tool)
    assert await numpy_style(1) == [0]
    assert saga_tool(uses).spec.schema["properties"] == {}
    assert dt.timedelta(seconds=60) == numpy_style.options.timeout
