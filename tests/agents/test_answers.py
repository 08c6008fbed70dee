"""What servers answer, in every dialect and out of every one: a normal form or a clear error."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st
from pydantic import TypeAdapter

from amends.agents import AnswerInvalid, Finish, ModelAnswer, Structured, ToolCall, UserMessage
from amends.agents.answer_parts import decoded
from amends.agents.chat_answer import chat_answer
from amends.agents.chat_request import chat_request
from amends.agents.responses_answer import responses_answer
from amends.agents.responses_request import responses_request
from tests.agents.asking import PATIENT, WANTED, anything, asked, called, given, texts

STORED = TypeAdapter(ModelAnswer)


def chat(message: Any, finish: Any = None, usage: Any = None, **options: Any) -> ModelAnswer:
    """Read an answer with one choice."""
    found = {
        "id": "x",
        "model": "m-1",
        "choices": [{"message": message, "finish_reason": finish}],
        "usage": usage,
    }
    return chat_answer(found, options.pop("request", asked()), model="m", sent=400, **options)


def responses(*output: Any, **fields: Any) -> ModelAnswer:
    """Read an answer with these items."""
    found = {"status": "completed", "output": list(output), **fields}
    return responses_answer(found, asked(), model="m", sent=400, provider="openai")


def tool_call(**fields: Any) -> dict[str, Any]:
    """Make a call as Chat Completions has it."""
    return {"type": "function", "function": {"name": "search", "arguments": "{}"}, **fields}


def ids(answer: ModelAnswer) -> list[str]:
    return [call.id for call in answer.message.calls]


def test_empty_missing_and_repeated_ids_are_made_unique_without_chance() -> None:
    calls = [
        tool_call(id=""),
        tool_call(),
        tool_call(id=None),
        tool_call(id="a"),
        tool_call(id="a"),
        tool_call(id=7),
    ]
    answer = chat({"tool_calls": calls})
    assert ids(answer) == ["call_1", "call_2", "call_3", "a", "a_2", "7"]
    assert chat({"tool_calls": calls}) == answer


def test_an_id_that_the_transcript_has_already_is_not_given_again() -> None:
    request = asked(UserMessage("?"), called("call_1", "call_0"), *given("call_1", "call_0"))
    answer = chat({"tool_calls": [tool_call(id="call_0"), tool_call()]}, request=request)
    assert ids(answer) == ["call_0_2", "call_4"]


@pytest.mark.parametrize("id", ["x" * 65, "é", "a\nb", "\ud800"])
def test_an_id_that_no_server_would_take_again_is_replaced_by_its_digest(id: str) -> None:
    (made,) = ids(chat({"tool_calls": [tool_call(id=id)]}))
    assert made.startswith("call_")
    assert len(made) == 29
    assert ids(chat({"tool_calls": [tool_call(id=id)]})) == [made]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ({"for": "é"}, '{"for":"é"}'),
        ('{"for": 1}', '{"for": 1}'),
        ("", "{}"),
        (None, "{}"),
        ([1], "[1]"),
        ("\ud800", "�"),
        ({"a": float("nan")}, '{"a":NaN}'),
    ],
)
def test_arguments_are_text_whatever_they_came_as(written: Any, read: str) -> None:
    answer = chat({"tool_calls": [tool_call(function={"name": "search", "arguments": written})]})
    assert answer.message.calls == (ToolCall("call_1", "search", read),)


def test_calls_in_the_old_flat_and_single_forms_are_calls() -> None:
    old = chat({"content": None, "function_call": {"name": "search", "arguments": "{}"}}, "function_call")
    flat = chat({"tool_calls": [{"name": "search", "arguments": {}}]})
    single = chat({"tool_calls": tool_call()})
    assert old == flat == single
    assert old.finish is Finish.CALLS


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, ""),
        ("a", "a"),
        (
            [{"type": "text", "text": "a"}, "b", {"type": "image_url"}, {"type": "thinking", "text": "hm"}],
            "ab",
        ),
        ({"type": "output_text", "text": "a"}, "a"),
        ({"city": "Rome"}, '{"city":"Rome"}'),
        (5, "5"),
        ("<think>\nhm\n</think>\n\nRome", "Rome"),
        ("use <think> like this </think>", "use <think> like this </think>"),
    ],
)
def test_content_is_text_whatever_it_came_as(content: Any, text: str) -> None:
    assert chat({"content": content}).message.text == text


def test_reasoning_is_no_part_of_the_answer() -> None:
    assert chat({"content": "a", "reasoning_content": "hm", "reasoning": "hm"}).message.text == "a"


@pytest.mark.parametrize(
    "message",
    [
        {"refusal": "no"},
        {"content": [{"type": "refusal", "refusal": "no"}]},
        {"content": "", "refusal": ["no"]},
    ],
)
def test_a_refusal_is_one_wherever_it_stands(message: Any) -> None:
    assert (chat(message).message.refusal, chat(message).message.text) == ("no", "")


@pytest.mark.parametrize(
    ("finish", "message", "read"),
    [
        ("stop", {"tool_calls": [tool_call()]}, Finish.CALLS),
        ("tool_calls", {"content": "a"}, Finish.STOP),
        (None, {"content": "a"}, Finish.STOP),
        ({"odd": []}, {"content": "a"}, Finish.STOP),
        ("length", {"content": "a"}, Finish.LENGTH),
        ("content_filter", {"content": None}, Finish.FILTERED),
    ],
)
def test_why_it_ended_is_told_by_what_is_there(finish: Any, message: Any, read: Finish) -> None:
    assert chat(message, finish).finish is read


def test_a_call_that_the_limit_of_tokens_has_cut_is_left_out() -> None:
    cut = tool_call(id="b", function={"name": "search", "arguments": '{"for": "ket'})
    answer = chat({"tool_calls": [tool_call(id="a"), cut]}, "length")
    assert (ids(answer), answer.finish) == (["a"], Finish.LENGTH)


def test_usage_is_read_in_both_dialects() -> None:
    told = {"prompt_tokens": 10, "completion_tokens": 5.0, "prompt_tokens_details": {"cached_tokens": 4}}
    usage = chat({"content": "a"}, usage=told).usage
    assert (usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.known) == (10, 5, 4, True)
    inner = {"input_tokens_details": {"cached_tokens": 2}, "output_tokens_details": {"reasoning_tokens": 3}}
    item = {"type": "message", "content": "a"}
    usage = responses(item, usage={"input_tokens": 10, "output_tokens": 5, **inner}).usage
    assert (usage.cached_tokens, usage.reasoning_tokens, usage.known) == (2, 3, True)


@pytest.mark.parametrize(
    "told",
    [
        None,
        {},
        [],
        {"prompt_tokens": 0, "completion_tokens": 0},
        {"prompt_tokens": True, "completion_tokens": -1},
    ],
)
def test_absent_usage_is_estimated_and_says_so(told: Any) -> None:
    usage = chat({"content": "x" * 41}, usage=told).usage
    assert (usage.input_tokens, usage.output_tokens, usage.known) == (100, 11, False)


@pytest.mark.parametrize(
    "found",
    [
        {},
        {"choices": []},
        {"choices": None},
        {"choices": {}},
        {"choices": [None]},
        {"choices": [{"message": "hi"}]},
        {"choices": [{"message": {"content": "a"}, "finish_reason": "error"}]},
        {"choices": [{"message": {"tool_calls": "search"}}]},
        {"choices": [{"message": {"tool_calls": [5]}}]},
        {"choices": [{"message": {"tool_calls": [{"function": {"name": 5}}]}}]},
    ],
)
def test_an_answer_that_holds_no_message_is_a_clear_error(found: dict[str, Any]) -> None:
    with pytest.raises(AnswerInvalid, match="what the server answered for 'm' "):
        chat_answer(found, asked(), model="m", sent=0)


@pytest.mark.parametrize(
    "found",
    [
        {},
        {"output": "hi"},
        {"output": []},
        {"output": [5]},
        {"output": [{"type": "message"}], "status": "in_progress"},
        {"output": [{"type": "function_call"}]},
    ],
)
def test_an_output_that_cannot_be_read_is_a_clear_error(found: dict[str, Any]) -> None:
    with pytest.raises(AnswerInvalid, match="what the server answered for 'm' "):
        responses_answer(found, asked(), model="m", sent=0)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"5", b"\xff\xfe\xff", b"[" * 100_000, b'{"a":' * 100_000]
)
def test_a_body_that_is_no_object_is_a_clear_error(body: bytes) -> None:
    with pytest.raises(AnswerInvalid, match="what the server answered for 'm' is n"):
        decoded(body, "m")


def test_deep_nesting_is_a_clear_error_or_a_text() -> None:
    deep: Any = {}
    for _ in range(100_000):
        deep = {"a": deep}
    with pytest.raises(AnswerInvalid, match="nested too deeply"):
        chat({"tool_calls": [tool_call(function={"name": "x", "arguments": deep})]})


def test_a_megabyte_of_arguments_is_read() -> None:
    written = json.dumps({"for": "x" * 1_000_000})
    answer = chat({"tool_calls": [tool_call(function={"name": "search", "arguments": written})]})
    assert answer.message.calls[0].arguments == written


messages = st.fixed_dictionaries(
    {},
    optional={
        "role": anything,
        "content": anything
        | st.lists(st.dictionaries(st.sampled_from(["type", "text", "refusal"]), texts | anything)),
        "refusal": anything,
        "tool_calls": anything
        | st.lists(
            st.fixed_dictionaries(
                {"id": anything, "function": st.fixed_dictionaries({"name": texts, "arguments": anything})}
            ),
            max_size=3,
        ),
        "function_call": anything,
    },
)
FIELDS = ("content", "call_id", "id", "arguments", "phase", "encrypted_content", "status")
items = st.lists(
    anything
    | st.fixed_dictionaries(
        {"type": st.sampled_from(["message", "function_call", "reasoning", "web_search_call"]) | anything},
        optional=dict.fromkeys(
            ("content", "call_id", "id", "arguments", "phase", "encrypted_content", "status"), anything
        )
        | {"name": texts | anything},
    ),
    max_size=4,
)
WAYS = st.none() | st.sampled_from(Structured)


@PATIENT
@drawn(messages, anything, anything, WAYS)
def test_any_chat_answer_becomes_one_that_can_be_stored_and_sent_again_or_a_clear_error(
    message: Any, finish: Any, usage: Any, way: Structured | None
) -> None:
    """Whatever it holds, its calls can be answered in the next request (A11)."""
    request = asked(UserMessage("?"), called("call_1"), *given("call_1"), output=WANTED)
    try:
        answer = chat(message, finish, usage, request=request, way=way)
    except AnswerInvalid:
        return
    assert chat(message, finish, usage, request=request, way=way) == answer
    stored(answer)
    following = asked(*request.messages, answer.message, *given(*ids(answer)))
    json.dumps(chat_request("m", following), ensure_ascii=False, allow_nan=False).encode()


@PATIENT
@drawn(items, st.sampled_from(["completed", "incomplete", None]) | anything, anything, WAYS)
def test_any_output_becomes_an_answer_that_can_be_stored_and_sent_again_or_a_clear_error(
    output: Any, status: Any, details: Any, way: Structured | None
) -> None:
    """Whatever it holds, its calls can be answered in the next request (A11)."""
    found = {"status": status, "output": output, "incomplete_details": details, "usage": details}
    request = asked(output=WANTED)
    try:
        answer = responses_answer(found, request, model="m", sent=0, way=way, provider="openai")
    except AnswerInvalid:
        return
    stored(answer)
    following = asked(*request.messages, answer.message, *given(*ids(answer)))
    sent = responses_request("m", following, provider="openai")
    json.dumps(sent, ensure_ascii=False, allow_nan=False).encode()


def stored(answer: ModelAnswer) -> None:
    """Check that an answer comes out of a journal as it went in."""
    assert STORED.validate_json(STORED.dump_json(answer)) == answer
    assert len(set(ids(answer))) == len(ids(answer))


def test_a_responses_answer_keeps_the_items_that_must_be_seen_again() -> None:
    thought = {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "…"}
    call = {
        "type": "function_call",
        "id": "fc",
        "call_id": "a",
        "name": "search",
        "arguments": "{}",
        "status": "x",
    }
    message = responses(thought, call).message
    assert message.items == (
        thought,
        {"type": "function_call", "call_id": "a", "name": "search", "arguments": "{}"},
    )
    assert message.provider == "openai"


def test_reasoning_that_a_server_could_not_read_again_is_left_out() -> None:
    said = {"type": "message", "content": [{"type": "output_text", "text": "a"}]}
    assert responses({"type": "reasoning", "id": "rs", "summary": []}, said).message.items == ()


def test_a_responses_call_is_known_by_its_call_id() -> None:
    call = {"type": "function_call", "id": "fc_1", "call_id": "call_9", "name": "search", "arguments": "{}"}
    assert ids(responses(call, call)) == ["call_9", "call_9_2"]


def test_the_final_answer_is_the_text_where_there_is_commentary_too() -> None:
    comment = {"type": "message", "phase": "commentary", "content": "hm"}
    final = {"type": "message", "phase": "final_answer", "content": "Rome"}
    message = responses(comment, final).message
    assert message.text == "Rome"
    assert len(message.items) == 2


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("max_output_tokens", Finish.LENGTH), ("content_filter", Finish.FILTERED), (None, Finish.LENGTH)],
)
def test_an_incomplete_answer_says_why(reason: str | None, finish: Finish) -> None:
    assert responses(status="incomplete", incomplete_details={"reason": reason}).finish is finish
