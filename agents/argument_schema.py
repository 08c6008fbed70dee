"""The JSON Schema that a model is shown of a tool's arguments, and what the docstring says of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, get_args, get_origin

from docstring_parser import ParseError, parse
from pydantic import Field
from pydantic.fields import FieldInfo

NAMES = ("properties", "$defs", "patternProperties")
"""Words whose value has names of somebody else's as keys."""
DATA = ("default", "const", "enum", "examples")
"""Words whose value is data, and no schema."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a docstring says: of the function, and of its parameters by name."""

    description: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)


def told_of(fn: Callable[..., Any]) -> Told:
    """Read a function's docstring, in the style of Google, NumPy, reST or epydoc."""
    text = inspect.getdoc(fn) or ""
    try:
        found = parse(text)
    except ParseError:
        return Told(text)
    description = "\n\n".join(filter(None, (found.short_description, found.long_description)))
    parameters = {each.arg_name: " ".join((each.description or "").split()) for each in found.params}
    return Told(description, {name: words for name, words in parameters.items() if words})


def described(kind: Any, words: str | None) -> Any:
    """Give an annotation with a description, unless it says one itself."""
    if words is None or any(info.description for info in field_infos(kind)):
        return kind
    return Annotated[kind, Field(description=words)]


def field_infos(kind: Any) -> list[FieldInfo]:
    """Give the `Field(...)`s that an annotation holds at its top."""
    if get_origin(kind) is not Annotated:
        return []
    return [each for each in get_args(kind)[1:] if isinstance(each, FieldInfo)]


def shaped(schema: dict[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Give a schema as a model is shown it: without the titles that only repeat names, with defaults."""
    made: dict[str, Any] = _without_titles(schema)
    for name, value in defaults.items():
        made["properties"][name]["default"] = value
    return made


def _without_titles(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_titles(each) for each in node]
    if not isinstance(node, dict):
        return node
    return {word: _inner(word, value) for word, value in node.items() if word != "title"}


def _inner(word: str, value: Any) -> Any:
    if word in DATA:
        return value
    if word in NAMES:
        return {name: _without_titles(each) for name, each in value.items()}
    return _without_titles(value)
