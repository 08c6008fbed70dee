"""What is sent to a model, in both forms: the same for the same request, and never an unanswered call."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from amends.agents import (
    Message,
    ModelMessage,
    ModelRequest,
    NoteMessage,
    RequestInvalid,
    Structured,
    ToolCall,
    ToolMessage,
    TranscriptInvalid,
    UserMessage,
)
from amends.agents.chat_request import chat_request
from amends.agents.responses_request import responses_request
from examples.model_server.server import problem
from tests.agents.asking import (
    CITY,
    PATIENT,
    SEARCH,
    WANTED,
    anything,
    asked,
    called,
    given,
    texts,
    transcripts,
)

Build = Callable[..., dict[str, Any]]
BOTH = pytest.mark.parametrize("build", [chat_request, responses_request])
WAYS = st.none() | st.sampled_from(Structured)


def as_bytes(body: dict[str, Any]) -> bytes:
    """Encode as the official client does."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


@BOTH
@PATIENT
@drawn(transcripts(), st.dictionaries(texts.map("x{}".format), anything, max_size=3), WAYS)
def test_the_same_request_is_the_same_bytes(
    build: Build, messages: tuple[Any, ...], options: dict[str, Any], way: Structured | None
) -> None:
    request = asked(*messages, tools=(SEARCH,), output=WANTED, options=options)
    again = asked(*messages, tools=(SEARCH,), output=WANTED, options=dict(reversed(options.items())))
    assert as_bytes(build("m", request, way=way)) == as_bytes(build("m", again, way=way))


@BOTH
@PATIENT
@drawn(transcripts())
def test_no_transcript_is_sent_with_a_call_that_has_no_result(
    build: Build, messages: tuple[Any, ...]
) -> None:
    """(A11) Whatever was said between a call and its result, a server that checks as OpenAI does takes it."""
    body = json.loads(as_bytes(build("m", asked(*messages))))
    assert problem(body, "chat" if build is chat_request else "responses") is None


@BOTH
@pytest.mark.parametrize(
    "messages",
    [
        (called("a"),),
        (called("a", "b"), *given("a")),
        (called("a"), UserMessage("well?")),
        given("a"),
        (*given("a"), called("a")),
        (called("a"), *given("a", "a")),
        (called("a"), *given("a"), called("a")),
        (called("a", "a"), *given("a")),
    ],
)
def test_a_transcript_whose_calls_and_results_do_not_match_is_refused(
    build: Build, messages: tuple[Any, ...]
) -> None:
    """Nothing of it reaches a server (A11)."""
    with pytest.raises(TranscriptInvalid, match=r"'a'|'b'"):
        build("m", asked(*messages))


@BOTH
@PATIENT
@drawn(st.lists(st.sampled_from(["a", "b", "c"]), max_size=6), st.data())
def test_what_is_built_is_valid_or_refused_whatever_the_order(
    build: Build, ids: list[str], data: st.DataObject
) -> None:
    """Nothing of it reaches a server (A11)."""
    several = [UserMessage("x"), NoteMessage("y"), *(called(one) for one in ids), *given(*ids)]
    drawing: st.SearchStrategy[Message] = st.sampled_from(several)
    messages = data.draw(st.lists(drawing, max_size=8))
    try:
        body = build("m", ModelRequest("", tuple(messages)))
    except TranscriptInvalid:
        return
    assert problem(body, "chat" if build is chat_request else "responses") is None


def test_a_chat_request_holds_everything_in_its_place() -> None:
    said: tuple[Message, ...] = (
        UserMessage("kettles?"),
        called("a", arguments='{"for":"kettles"}'),
        NoteMessage("undone"),
        *given("a"),
    )
    assert chat_request("m", asked(*said, tools=(SEARCH,)), options={"temperature": 0}) == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "kettles?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "a",
                        "type": "function",
                        "function": {"name": "search", "arguments": '{"for":"kettles"}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "a", "content": "result of a"},
            {"role": "user", "content": "[Note from the system, not from the user]\nundone"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "search",
                    "description": "Searches the shop.",
                    "parameters": SEARCH.schema,
                },
            }
        ],
        "temperature": 0,
    }


def test_a_responses_request_keeps_nothing_on_the_server() -> None:
    body = responses_request("m", asked(UserMessage("kettles?"), called("a"), *given("a"), tools=(SEARCH,)))
    assert body["store"] is False
    assert body["instructions"] == "Be brief."
    assert [item["type"] for item in body["input"]] == ["message", "function_call", "function_call_output"]
    assert {item["call_id"] for item in body["input"][1:]} == {"a"}
    assert body["tools"][0]["strict"] is False


def test_items_are_sent_to_the_provider_that_wrote_them_alone() -> None:
    items = (
        {"type": "reasoning", "id": "r", "encrypted_content": "…"},
        {"type": "function_call", "call_id": "a"},
    )
    message = ModelMessage(calls=(ToolCall("a", "search", "{}"),), items=items, provider="openai")
    request = asked(UserMessage("?"), message, *given("a"))
    own = responses_request("m", request, provider="openai")["input"]
    other = responses_request("m", request, provider="elsewhere")["input"]
    assert own[1:3] == list(items)
    assert other[1] == {"type": "function_call", "call_id": "a", "name": "search", "arguments": "{}"}
    assert "reasoning" not in str(chat_request("m", request))


def test_items_with_other_calls_than_the_message_has_are_not_sent() -> None:
    """(A11) Whoever changes a message's calls needn't know of its items."""
    items = ({"type": "function_call", "call_id": "gone", "name": "x", "arguments": "{}"},)
    message = ModelMessage("said", items=items, provider="openai")
    body = responses_request("m", asked(message), provider="openai")
    assert body["input"] == [{"type": "message", "role": "assistant", "content": "said"}]


@pytest.mark.parametrize("written", ["", "{", "[1]", "null", '{"a": NaN}', "[" * 5_000, "x" * 1_000_000])
def test_arguments_that_are_no_object_are_wrapped_so_that_servers_can_read_the_transcript(
    written: str,
) -> None:
    body = chat_request("m", asked(called("a", arguments=written), *given("a")))
    sent = json.loads(body["messages"][1]["tool_calls"][0]["function"]["arguments"])
    assert sent == {"not_a_json_object": written}


def test_a_tool_that_a_model_made_up_is_sent_under_a_name_that_servers_take() -> None:
    message = called("a", name="shop.search it\ud800!")
    body = chat_request("m", asked(message, *given("a")))
    assert body["messages"][1]["tool_calls"][0]["function"]["name"] == "shop_search_it__"


@BOTH
def test_a_message_in_which_nothing_was_said_is_left_out(build: Build) -> None:
    body = build("m", asked(UserMessage("a"), ModelMessage(), UserMessage("b")))
    said = body["messages" if build is chat_request else "input"]
    assert [m["content"] for m in said if m["role"] != "system"] == ["a", "b"]


@BOTH
def test_a_refusal_is_told_as_what_the_model_said(build: Build) -> None:
    assert "I won't" in str(build("m", asked(UserMessage("a"), ModelMessage(refusal="I won't"))))


@BOTH
@pytest.mark.parametrize("name", ["stream", "model", "messages", "input", "tools", "n", "background"])
def test_an_option_that_the_request_says_itself_is_refused(build: Build, name: str) -> None:
    with pytest.raises(RequestInvalid, match=f"the option '{name}'"):
        build("m", asked(options={name: 1}))


@BOTH
def test_an_option_without_json_form_is_refused(build: Build) -> None:
    with pytest.raises(RequestInvalid, match="object has no JSON form"):
        build("m", asked(options={"x": object()}))


@BOTH
def test_lone_surrogates_and_nan_are_made_sendable(build: Build) -> None:
    body = build("m", asked(UserMessage("a\ud800b"), NoteMessage("\udfff"), options={"x": [1e999]}))
    assert "�" in as_bytes(body).decode()
    assert body["x"] == [None]


def test_a_requests_options_win_over_the_models() -> None:
    body = chat_request("m", asked(options={"temperature": 1}), options={"temperature": 0, "seed": 3})
    assert (body["temperature"], body["seed"]) == (1, 3)


def test_an_option_beside_the_outputs_form_is_kept() -> None:
    request = asked(output=WANTED, options={"text": {"verbosity": "low"}})
    body = responses_request("m", request, way=Structured.SCHEMA)
    assert body["text"]["verbosity"] == "low"
    assert body["text"]["format"]["schema"] == {**CITY, "additionalProperties": False}


def test_a_result_is_sent_whatever_it_is_named() -> None:
    body = chat_request("m", asked(called("a"), ToolMessage("a", "other", "x", failed=True)))
    assert body["messages"][2] == {"role": "tool", "tool_call_id": "a", "content": "x"}
