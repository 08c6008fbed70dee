"""The form of a final answer, and the three ways to ask a server for it."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace
from enum import StrEnum
from typing import Any

from amends.agents.messages import ModelMessage
from amends.agents.model import Finish, ModelRequest, OutputSpec
from amends.agents.texts import LONGEST_NAME, as_json, parsed, plain, sendable_name

__all__ = ["Structured"]

FENCE = re.compile(r"```[A-Za-z]*[ \t]*\n(.*?)```", re.DOTALL)
TRIES = 20
"""Brackets at which JSON is looked for in an answer that has other text around it."""
NOT_STRICT = frozenset({"default", "oneOf", "allOf", "not", "if", "then", "else", "patternProperties"})


class Structured(StrEnum):
    """How a server is asked for an answer of one form, the surest first."""

    SCHEMA = "schema"
    TOOL = "tool"
    PROMPT = "prompt"

    def weaker(self) -> Structured | None:
        """Give the next way for a server that refuses this one."""
        return {Structured.SCHEMA: Structured.TOOL, Structured.TOOL: Structured.PROMPT}.get(self)


def strict(schema: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """Give a schema as servers take it in strict mode, if it can be, and whether it can.

    Strict mode wants every object closed and every property required. Objects that only lack the word
    `additionalProperties` get it; anything else leaves the schema as it is, to be followed without that mode.
    """
    closed = _closed(schema)
    if isinstance(closed, dict) and closed.get("type") == "object" and "anyOf" not in closed:
        return closed, True
    return schema, False


def _closed(schema: Any) -> Any:
    """Close every object of a schema; None where one can't be."""
    if isinstance(schema, list):
        items = [_closed(item) for item in schema]
        return None if any(item is None for item in items) else items
    if not isinstance(schema, dict):
        return schema
    if NOT_STRICT & schema.keys():
        return None
    if schema.get("type") == "object" or "properties" in schema:
        properties = schema.get("properties")
        if not isinstance(properties, dict) or schema.get("additionalProperties", False) is not False:
            return None
        if set(_texts(schema.get("required"))) != set(properties):
            return None
        schema = {**schema, "additionalProperties": False}
    return _within(schema)


def _within(schema: dict[str, Any]) -> dict[str, Any] | None:
    found: dict[str, Any] = {}
    for word, value in schema.items():
        inner: Any = value
        if word in ("properties", "$defs", "definitions") and isinstance(value, dict):
            inner = {name: _closed(item) for name, item in value.items()}
            if any(item is None for item in inner.values()):
                return None
        elif word in ("items", "anyOf", "prefixItems"):
            inner = _closed(value)
            if inner is None:
                return None
        found[word] = inner
    return found


def _texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def output_name(output: OutputSpec) -> str:
    """Give the output's name in the characters that providers take."""
    return sendable_name(output.name)


def output_tool(request: ModelRequest, output: OutputSpec) -> str:
    """Name the tool that stands for the final answer; none of the request's own has that name."""
    taken = {sendable_name(tool.name) for tool in request.tools}
    name = output_name(output)
    others = (f"{name[: LONGEST_NAME - 4]}_{number}" for number in itertools.count(2))
    return next(candidate for candidate in itertools.chain([name], others) if candidate not in taken)


def instructions(request: ModelRequest, way: Structured | None) -> str:
    """Give the request's instructions, with the wish for its output where that is asked for in words."""
    if request.output is None or way is not Structured.PROMPT:
        return request.instructions
    when = "When you have your final answer and call no more tools, give it" if request.tools else "Answer"
    wish = (
        f"{when} as one JSON value and nothing else: no words around it, no code fence. It must fit this JSON"
        f" Schema:\n{as_json(plain(request.output.schema))}"
    )
    return f"{request.instructions}\n\n{wish}" if request.instructions else wish


def taken(
    message: ModelMessage, finish: Finish, request: ModelRequest, way: Structured | None
) -> ModelMessage:
    """Put the final answer into the message's text, however it was asked for.

    With `"tool"` it is the arguments of the tool that stands for it; beside calls of real tools that isn't
    final yet and is left out. Otherwise it is the text, freed of a code fence and words around the JSON.
    """
    if request.output is None or way is None:
        return message
    if way is Structured.TOOL:
        real = {tool.name for tool in request.tools}
        name = output_tool(request, request.output).casefold()
        finals = [call for call in message.calls if call.name.casefold() == name and call.name not in real]
        others = tuple(call for call in message.calls if call not in finals)
        if finals:
            text = message.text if others else finals[0].arguments
            return replace(message, text=text, calls=others, items=())
    if message.calls or finish is not Finish.STOP:
        return message
    return replace(message, text=only_json(message.text))


def only_json(text: str) -> str:
    """Give the JSON in a text: all of it, a code fence's, or the first object or list; else the text."""
    short = text.strip()
    if _is_json(short):
        return short
    for fenced in FENCE.findall(short):
        if _is_json(fenced.strip()):
            return str(fenced.strip())
    decoder = json.JSONDecoder()
    for found in itertools.islice(re.finditer(r"[\[{]", short), TRIES):
        try:
            _, end = decoder.raw_decode(short, found.start())
        except (ValueError, RecursionError):
            continue
        return short[found.start() : end]
    return text


def _is_json(text: str) -> bool:
    try:
        parsed(text)
    except ValueError:
        return False
    return True
