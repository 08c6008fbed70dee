"""Requests, and JSON of every kind, for the tests of models."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from amends.agents import (
    Message,
    ModelMessage,
    ModelRequest,
    NoteMessage,
    OutputSpec,
    ToolCall,
    ToolMessage,
    ToolSpec,
    UserMessage,
)

CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["city", "people"],
}
SEARCH = ToolSpec(
    "search", "Searches the shop.", {"type": "object", "properties": {"for": {"type": "string"}}}
)


def asked(*messages: Message, **fields: Any) -> ModelRequest:
    """Make a request; without messages, one with a person's word."""
    return ModelRequest("Be brief.", messages or (UserMessage("Where?"),), **fields)


def called(*ids: str, name: str = "search", arguments: str = "{}") -> ModelMessage:
    """Make a model's message that calls tools."""
    return ModelMessage(calls=tuple(ToolCall(one, name, arguments) for one in ids))


def given(*ids: str) -> tuple[ToolMessage, ...]:
    """Make the results of calls."""
    return tuple(ToolMessage(one, "search", f"result of {one}") for one in ids)


WANTED = OutputSpec("place", CITY)
PATIENT = settings(deadline=None)
"""For a machine that has other things to do."""

texts = st.text(st.characters(exclude_categories=()), max_size=20)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
"""Whatever JSON can hold, NaN and lone surrogates included."""


@st.composite
def transcripts(draw: st.DrawFn) -> tuple[Message, ...]:
    """Draw a transcript in which every call has its result, maybe much later."""
    messages: list[Message] = []
    number = 0
    for _ in range(draw(st.integers(0, 5))):
        messages.append(draw(st.builds(UserMessage, texts) | st.builds(NoteMessage, texts)))
        ids = [f"c{number + place}" for place in range(draw(st.integers(0, 3)))]
        number += len(ids)
        calls = tuple(ToolCall(one, draw(texts), draw(texts | anything.map(json.dumps))) for one in ids)
        messages.append(ModelMessage(draw(texts), calls, draw(st.none() | texts)))
        late = draw(st.booleans())
        results: list[Message] = [ToolMessage(one, "t", draw(texts)) for one in draw(st.permutations(ids))]
        if ids and late:
            results.insert(0, UserMessage(draw(texts)))
        messages += results
    return tuple(messages)
