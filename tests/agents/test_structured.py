"""The form of an answer, asked for in three ways: what comes back is always in the text."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st
from pydantic import BaseModel

from amends.agents import Finish, OutputSpec, Structured, ToolSpec
from amends.agents.chat_answer import chat_answer
from amends.agents.chat_request import chat_request
from amends.agents.responses_request import responses_request
from amends.agents.structured import only_json, strict
from tests.agents.asking import CITY, PATIENT, SEARCH, WANTED, anything, asked, texts

ROME = '{"city": "Rome", "people": 3}'


class Street(BaseModel):
    name: str


class Place(BaseModel):
    streets: list[Street]
    mayor: Street | None


class Loose(BaseModel):
    names: dict[str, str]
    size: int = 3


def read(
    message: dict[str, Any], way: Structured, finish: str = "stop", **fields: Any
) -> tuple[str, Finish, int]:
    """Give text, finish and number of calls of an answer."""
    found = {"choices": [{"message": message, "finish_reason": finish}]}
    answer = chat_answer(found, asked(output=WANTED, **fields), model="m", sent=0, way=way)
    return answer.message.text, answer.finish, len(answer.message.calls)


def call(name: str, arguments: str) -> dict[str, Any]:
    return {"type": "function", "id": name, "function": {"name": name, "arguments": arguments}}


def test_a_schema_that_can_be_strict_is_sent_so() -> None:
    schema, can = strict(Place.model_json_schema())
    assert can
    assert schema["additionalProperties"] is schema["$defs"]["Street"]["additionalProperties"] is False


@pytest.mark.parametrize(
    "schema", [Loose.model_json_schema(), {"type": "array"}, {"anyOf": [CITY]}, {}, {"type": 5}]
)
def test_a_schema_that_cannot_be_strict_is_sent_as_it_is(schema: dict[str, Any]) -> None:
    assert strict(schema) == (schema, False)


@PATIENT
@drawn(st.dictionaries(texts | st.sampled_from(["type", "properties", "required", "items"]), anything))
def test_any_schema_is_strict_or_left_alone(schema: dict[str, Any]) -> None:
    made, can = strict(schema)
    assert can or made is schema


def test_each_way_asks_in_its_own_words() -> None:
    request = asked(output=WANTED)
    by = {way: chat_request("m", request, way=way) for way in Structured}
    assert by[Structured.SCHEMA]["response_format"]["json_schema"]["name"] == "place"
    assert by[Structured.TOOL]["tool_choice"] == {"type": "function", "function": {"name": "place"}}
    assert json.dumps(CITY, separators=(",", ":")) in by[Structured.PROMPT]["messages"][0]["content"]
    assert "response_format" not in {**by[Structured.TOOL], **by[Structured.PROMPT]}


def test_beside_tools_the_answers_tool_is_one_of_them_under_a_name_of_its_own() -> None:
    request = asked(output=OutputSpec("search", CITY), tools=(SEARCH,))
    chat = chat_request("m", request, way=Structured.TOOL)
    assert [tool["function"]["name"] for tool in chat["tools"]] == ["search", "search_2"]
    assert chat["tool_choice"] == "required"
    assert responses_request("m", request, way=Structured.TOOL)["tools"][1]["name"] == "search_2"


@pytest.mark.parametrize(
    "text",
    [ROME, f" {ROME}\n", f"```json\n{ROME}\n```", f"Here it is:\n```\n{ROME}\n```\nBye.", f"It is {ROME}."],
)
@pytest.mark.parametrize("way", Structured)
def test_the_text_is_the_json_without_what_stands_around_it(text: str, way: Structured) -> None:
    assert read({"content": text}, way) == (ROME, Finish.STOP, 0)


def test_the_arguments_of_the_answers_tool_are_the_text() -> None:
    assert read({"tool_calls": [call("place", ROME)]}, Structured.TOOL, "tool_calls") == (
        ROME,
        Finish.STOP,
        0,
    )


def test_the_answers_tool_is_known_however_a_server_writes_its_name() -> None:
    assert read({"tool_calls": [call("Place", ROME)]}, Structured.TOOL) == (ROME, Finish.STOP, 0)
    shout = ToolSpec("PLACE", "Another.", {})
    assert read({"tool_calls": [call("PLACE", ROME)]}, Structured.TOOL, tools=(shout,))[1] is Finish.CALLS


def test_an_answer_beside_calls_of_tools_is_not_final() -> None:
    asking = [call("search", "{}"), call("place", ROME)]
    text, finish, calls = read({"content": "hm", "tool_calls": asking}, Structured.TOOL, tools=(SEARCH,))
    assert (text, finish, calls) == ("hm", Finish.CALLS, 1)


def test_a_text_without_json_stays_as_it_is() -> None:
    assert only_json("I don't know [yet] {really}") == "I don't know [yet] {really}"


@PATIENT
@drawn(texts | st.text('{}[]",:`\n a1', max_size=200))
def test_looking_for_json_never_fails(text: str) -> None:
    assert isinstance(only_json(text), str)


def test_looking_for_json_in_a_megabyte_of_brackets_ends() -> None:
    assert only_json("{" * 1_000_000) == "{" * 1_000_000


def test_the_strict_schema_takes_what_the_first_one_takes() -> None:
    schema, _ = strict(Place.model_json_schema())
    jsonschema.validate({"streets": [{"name": "Via"}], "mayor": None}, schema)
