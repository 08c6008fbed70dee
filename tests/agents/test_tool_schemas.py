"""What a model is shown of a tool: JSON Schema from the signature, words from the docstring."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field

from amends.agents import tool
from amends.agents.structured import strict


class Node(BaseModel):
    value: int
    title: str = "root"
    children: list[Node] = []


@dataclasses.dataclass
class Address:
    street: str
    zip: str


def schemas_google(city: str, days: int) -> str:
    """Forecast the weather.

    For a few days.

    Args:
        city (str): The city's
            name.
        days: How many days.
        nobody: No parameter.

    Returns:
        Words.

    Raises:
        ValueError: For no city.
    """
    return ""


def schemas_numpy(city: str, days: int) -> str:
    """Forecast the weather.

    For a few days.

    Parameters
    ----------
    city : str
        The city's name.
    days
        How many days.

    Returns
    -------
    str
        Words.
    """
    return ""


def schemas_rest(city: str, days: int) -> str:
    """Forecast the weather.

    For a few days.

    :param city: The city's name.
    :type city: str
    :param days: How many days.
    :returns: Words.
    """
    return ""


@pytest.mark.parametrize("fn", [schemas_google, schemas_numpy, schemas_rest])
def test_docstrings_of_three_styles_say_the_same(fn: Callable[..., Any]) -> None:
    """Section 6: the model reads what colleagues read."""
    made = tool(effect="read")(fn)
    assert made.spec.description == "Forecast the weather.\n\nFor a few days."
    assert made.spec.schema == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "The city's name."},
            "days": {"type": "integer", "description": "How many days."},
        },
        "required": ["city", "days"],
        "additionalProperties": False,
    }
    assert strict(made.spec.schema) == (made.spec.schema, True)


def test_an_annotation_that_describes_itself_is_believed_before_the_docstring() -> None:
    """Section 6: what stands nearer is meant for the model."""

    def schemas_near(city: Annotated[str, Field(description="Its name in English.", min_length=1)]) -> str:
        """Look.

        :param city: A city.
        """
        return city

    made = tool(effect="read", description="Looks.")(schemas_near)
    assert made.spec.description == "Looks."
    assert made.spec.schema["properties"]["city"] == {
        "type": "string",
        "description": "Its name in English.",
        "minLength": 1,
    }


def test_defaults_are_shown_and_what_has_one_can_be_left_out() -> None:
    """Section 6: a model that leaves something out should know what it gets."""

    def schemas_search(
        words: str, kind: Literal["new", "used"] = "used", near: Address | None = None, top: int = 5
    ) -> None: ...

    schema = tool(effect="read")(schemas_search).spec.schema
    assert schema["required"] == ["words"]
    shown = {name: value.get("default", "-") for name, value in schema["properties"].items()}
    assert shown == {"words": "-", "kind": "used", "near": None, "top": 5}
    assert strict(schema)[1] is False


def test_nested_and_recursive_types_are_a_valid_schema() -> None:
    """Section 6: `$defs` are kept, and titles go that only repeat names."""

    def schemas_graft(tree: Node, onto: Node | Address | None, name: dict[str, int]) -> None: ...

    schema = tool(effect="read")(schemas_graft).spec.schema
    Draft202012Validator.check_schema(schema)
    assert sorted(schema["$defs"]) == ["Address", "Node"]
    assert "title" in schema["$defs"]["Node"]["properties"]
    assert "title" not in schema["$defs"]["Node"]
    check = Draft202012Validator(schema)
    call = {"tree": {"value": 1, "children": [{"value": 2}]}, "onto": None, "name": {"a": 1}}
    assert check.is_valid(call)
    assert not check.is_valid(call | {"tree": {"value": 1, "children": [{}]}})


NAMES = st.one_of(
    st.sampled_from(["fields", "default", "metadata", "cls", "type", "schema", "validation_alias"]),
    st.sampled_from(["title", "properties", "items", "enum", "const", "description", "name"]),
    st.sampled_from(["model_config", "_hidden", "x"]),
)
VALUES: dict[str, Any] = {
    "str": "x",
    "int": 1,
    "list[str]": ["x"],
    "set[str]": ["b", "a"],
    "dict[str, int]": {"title": 1},
    "int | None": None,
    "Node": {"value": 1},
    "Any": {"title": "x"},
}


@given(st.dictionaries(NAMES, st.sampled_from(list(VALUES)), max_size=6))
def test_parameters_of_any_name_and_type_are_shown_as_they_are(parameters: dict[str, str]) -> None:
    """Section 6: also those called as JSON Schema and pydantic call their own things."""
    shown = ", ".join(f"{name}: {kind}" for name, kind in parameters.items())
    place: dict[str, Any] = {}
    exec(f"def schemas_drawn({shown}) -> None: ...", {"Any": Any, "Node": Node}, place)  # noqa: S102 - our own text
    made = tool(effect="read")(place["schemas_drawn"])
    schema = made.spec.schema
    Draft202012Validator.check_schema(schema)
    assert list(schema["properties"]) == list(parameters)
    assert schema.get("required", []) == list(parameters)
    call = {name: VALUES[kind] for name, kind in parameters.items()}
    assert Draft202012Validator(schema).is_valid(call)
    arguments = made.parameters.read(json.dumps(call))
    assert made.arguments.decode(made.arguments.encode_named(arguments)) == arguments
