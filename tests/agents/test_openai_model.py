"""The official client over real HTTP, against a server that answers as it is told."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from typing import Any

import openai
import pytest

from amends.agents import (
    AnswerInvalid,
    ContentRefused,
    Finish,
    KeyMissing,
    KeyRejected,
    ModelBusy,
    ModelError,
    ModelMessage,
    ModelRequest,
    ModelUnavailable,
    OpenAIModel,
    QuotaExhausted,
    RequestInvalid,
    TranscriptInvalid,
    UserMessage,
)
from amends.sagas import DefinitionError
from examples.model_server.running import ModelServer
from tests.agents.asking import SEARCH, WANTED, asked, called, given
from tests.sagas.running import on_a_loop

BOTH = pytest.mark.parametrize("api", ["chat", "responses"])
CALL = {"calls": [{"id": "a", "name": "search", "arguments": {"for": "kettles"}}]}
HALF_A_SECOND = dt.timedelta(seconds=0.5)
FAILED = {
    "status": "failed",
    "error": {"code": "invalid_prompt"},
    "output": [{"type": "message"}],
    "choices": [1],
}
NO_SCHEMA = {"status": 400, "error": {"message": "response_format is not supported", "param": "text.format"}}
NO_TOOLS = {"status": 400, "error": {"message": "tool_choice is not supported"}}


def model(server: ModelServer, **options: Any) -> OpenAIModel:
    """Make a model of the server's."""
    return OpenAIModel("qwen", base_url=server.url, **options)


@BOTH
@on_a_loop
async def test_a_conversation_with_a_tool_goes_there_and_back(server: ModelServer, api: Any) -> None:
    """The server checks the transcript as OpenAI does (A11)."""
    server.script(CALL, {"text": "Three."})
    async with model(server, api=api) as asking:
        request = asked(UserMessage("kettles?"), tools=(SEARCH,))
        first = await asking.answer(request)
        assert (first.finish, first.message.calls[0].arguments) == (Finish.CALLS, '{"for": "kettles"}')
        after = asked(*request.messages, first.message, *given("a"), tools=(SEARCH,))
        second = await asking.answer(after)
    assert (second.finish, second.message.text, second.usage.input_tokens) == (Finish.STOP, "Three.", 100)
    assert "result of a" in server.requests()[1]["text"]


@BOTH
@on_a_loop
async def test_the_same_request_is_the_same_bytes_on_the_wire(server: ModelServer, api: Any) -> None:
    server.script({"text": "a", "times": 0})
    request = asked(UserMessage("é\ud800"), called("a"), *given("a"), tools=(SEARCH,), output=WANTED)
    for _ in range(2):
        async with model(server, api=api, options={"temperature": 0, "seed": 1}) as asking:
            await asking.answer(request)
    first, second = server.requests()
    assert first["text"] == second["text"]


@BOTH
@on_a_loop
async def test_an_unanswered_call_never_reaches_the_server(server: ModelServer, api: Any) -> None:
    """(A11) It is refused before anything is sent."""
    async with model(server, api=api) as asking:
        with pytest.raises(TranscriptInvalid, match="'a' of the tool 'search' has no result"):
            await asking.answer(asked(called("a")))
    assert server.requests() == []


@on_a_loop
async def test_the_server_itself_refuses_an_unanswered_call(server: ModelServer) -> None:
    """So that the tests above mean something."""
    client = openai.AsyncOpenAI(base_url=server.url, api_key="none", max_retries=0)
    messages = [
        {"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "x"}}]}
    ]
    async with client:
        with pytest.raises(openai.BadRequestError, match="must be followed by tool messages"):
            await client.post("/chat/completions", cast_to=object, body={"messages": messages})


@BOTH
@on_a_loop
async def test_reasoning_comes_back_to_the_provider_that_wrote_it(server: ModelServer, api: Any) -> None:
    server.script({**CALL, "reasoning": "hm"}, {"text": "Three."})
    async with model(server, api=api) as asking:
        first = await asking.answer(asked(tools=(SEARCH,)))
        await asking.answer(asked(first.message, *given("a")))
    assert first.message.text == ""
    assert ("encrypted_content" in server.requests()[1]["text"]) == (api == "responses")
    assert "hm" not in server.requests()[1]["text"]


@BOTH
@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ({"status": 429, "headers": {"Retry-After": "300"}}, ModelBusy, "come again after 300 s"),
        ({"status": 503, "headers": {"retry-after-ms": "500"}}, ModelBusy, "come again after 0.5 s"),
        ({"status": 429}, ModelUnavailable, "answered 429"),
        ({"status": 500}, ModelUnavailable, "answered 500"),
        ({"status": 500, "raw": "<html>\x1b[31mBad Gateway"}, ModelUnavailable, r"<html> \[31mBad Gateway"),
        ({"text": "abc", "cut": True}, ModelUnavailable, "without sending complete message body"),
        ({"drop": True}, ModelUnavailable, "without sending a response"),
        ({"raw": '{"choices": ['}, AnswerInvalid, "no JSON"),
        ({"raw": ""}, AnswerInvalid, "no JSON"),
        ({"json": {"choices": [], "output": []}}, AnswerInvalid, "no choices|empty output"),
        ({"json": {"error": {"message": "crashed"}}}, ModelUnavailable, "crashed"),
        ({"json": FAILED}, ContentRefused, "invalid_prompt"),
        ({"wait": 30, "text": ""}, ModelUnavailable, "no whole answer within 0.5 s"),
        (
            {"status": 429, "error": {"code": "insufficient_quota"}},
            QuotaExhausted,
            "raise the account's limit",
        ),
        ({"status": 401, "error": {"message": "who is sk-secret-1?"}}, KeyRejected, "check the key"),
    ],
)
@on_a_loop
async def test_what_goes_wrong_becomes_an_error_that_says_what_follows(
    server: ModelServer, api: Any, answer: dict[str, Any], kind: type[ModelError], words: str
) -> None:
    """One request, no second try: the next attempt is the saga's, and durable."""
    server.script(answer)
    async with model(server, api=api, api_key="sk-secret-1", timeout=HALF_A_SECOND) as asking:
        with pytest.raises(kind, match=words) as caught:
            await asking.answer(asked())
    assert type(caught.value) is kind
    assert "'qwen'" in str(caught.value)
    assert "sk-secret" not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert len(server.requests()) == 1


@on_a_loop
async def test_a_server_that_is_not_there_may_be_asked_again() -> None:
    async with OpenAIModel("qwen", base_url="http://127.0.0.1:9/v1") as asking:
        with pytest.raises(ModelUnavailable, match="ConnectError"):
            await asking.answer(asked())


@BOTH
@pytest.mark.parametrize("refusals", [(), (NO_SCHEMA,), (NO_SCHEMA, NO_TOOLS)])
@on_a_loop
async def test_the_answers_form_is_asked_for_in_the_surest_way_that_is_not_refused(
    server: ModelServer, api: Any, refusals: tuple[dict[str, Any], ...]
) -> None:
    """What was refused is remembered: the second answer costs one request."""
    rome = '{"city": "Rome", "people": 3}'
    by_tool = {"calls": [{"name": "place", "arguments": rome}]}
    said: dict[str, Any] = by_tool if len(refusals) == 1 else {"text": f"```json\n{rome}\n```"}
    server.script(*refusals, said, said)
    async with model(server, api=api) as asking:
        for _ in range(2):
            answer = await asking.answer(asked(output=WANTED))
            assert (answer.message.text, answer.message.calls, answer.finish) == (rome, (), Finish.STOP)
    sent = server.requests()
    assert len(sent) == len(refusals) + 2
    assert sent[-1]["text"] == sent[-2]["text"]
    assert ("json_schema" in sent[-1]["text"], "tool_choice" in sent[-1]["text"]) == (
        not refusals,
        len(refusals) == 1,
    )


@on_a_loop
async def test_what_is_refused_beside_tools_may_do_without_them(server: ModelServer) -> None:
    rome = '{"city":"Rome"}'
    server.script(NO_SCHEMA, {"calls": [{"name": "place", "arguments": rome}]}, {"text": rome})
    async with model(server) as asking:
        await asking.answer(asked(output=WANTED, tools=(SEARCH,)))
        await asking.answer(asked(output=WANTED))
    assert ["json_schema" in request["text"] for request in server.requests()] == [True, False, True]


@on_a_loop
async def test_a_way_that_was_chosen_is_the_only_one(server: ModelServer) -> None:
    server.script(NO_SCHEMA)
    async with model(server, structured="schema") as asking:
        with pytest.raises(RequestInvalid, match="response_format"):
            await asking.answer(asked(output=WANTED))
    assert len(server.requests()) == 1


@on_a_loop
async def test_a_refused_option_is_no_refused_form(server: ModelServer) -> None:
    server.script({"status": 400, "error": {"message": "temperature must be below 2"}})
    async with model(server) as asking:
        with pytest.raises(RequestInvalid, match="temperature must be below 2"):
            await asking.answer(asked(output=WANTED))
    assert len(server.requests()) == 1


@on_a_loop
async def test_the_key_for_openai_is_never_sent_to_another_server(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "hunter2")
    server.script({"text": "a"})
    async with model(server) as asking:
        await asking.answer(asked())
    (request,) = server.requests()
    assert "hunter2" not in json.dumps(request)
    assert request["headers"]["authorization"] == "Bearer none"


@on_a_loop
async def test_a_key_may_be_given_or_fetched(server: ModelServer) -> None:
    async def fetched() -> str:
        return "key-2"

    server.script({"text": "a", "times": 0})
    for key in ("key-1", fetched):
        async with model(server, api_key=key) as asking:
            await asking.answer(asked())
    assert [request["headers"]["authorization"] for request in server.requests()] == [
        "Bearer key-1",
        "Bearer key-2",
    ]


@pytest.mark.parametrize(
    ("key", "kind"), [(None, KeyMissing), ("", KeyMissing), ("sk-secret\n", KeyRejected)]
)
@on_a_loop
async def test_without_a_usable_key_openai_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, server: ModelServer, key: str | None, kind: type[ModelError]
) -> None:
    if key is not None:
        monkeypatch.setenv("OPENAI_API_KEY", key)
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    with pytest.raises(kind) as caught:
        await OpenAIModel("gpt-5").answer(asked())
    assert "secret" not in str(caught.value)
    assert server.requests() == []


@pytest.mark.parametrize("key", ["käse", "line\nend"])
@on_a_loop
async def test_a_fetched_key_that_no_header_holds_is_an_error_without_the_key(
    server: ModelServer, key: str
) -> None:
    async def fetched() -> str:
        return key

    async with model(server, api_key=fetched) as asking:
        with pytest.raises(ModelError) as caught:
            await asking.answer(asked())
    assert key not in str(caught.value)
    assert key.strip().split("\n")[0] not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"api": "assistants"},
        {"structured": "json"},
        {"timeout": 5},
        {"timeout": dt.timedelta(0)},
        {"options": [1]},
        {"options": {"stream": True}},
        {"options": {"stop": {1}}},
        {"base_url": "localhost:8000"},
        {"base_url": "http://me:hunter2@localhost/v1"},
        {"api_key": "sk-hunter2\n"},
        {"api_key": ""},
        {"api_key": 5},
        {"client": object(), "api_key": "a"},
    ],
)
def test_an_option_that_means_nothing_is_refused_where_it_is_given(options: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match="OpenAIModel: ") as caught:
        OpenAIModel("gpt-5", **options)
    assert "hunter2" not in str(caught.value)


def test_a_model_shows_no_key() -> None:
    shown = repr(OpenAIModel("qwen", base_url="http://localhost:1/v1", api_key="hunter2"))
    assert shown == "OpenAIModel('qwen', base_url='http://localhost:1/v1', api='chat')"


def test_openai_is_asked_by_responses_and_another_server_by_chat() -> None:
    assert "responses" in repr(OpenAIModel("gpt-5"))
    assert "chat" in repr(OpenAIModel("gpt-5", base_url="http://localhost:1/v1"))


@on_a_loop
async def test_a_client_of_ones_own_is_used_without_its_retries_and_left_open(server: ModelServer) -> None:
    server.script({"status": 500}, {"text": "a"})
    async with openai.AsyncOpenAI(base_url=server.url, api_key="mine", max_retries=5) as client:
        async with OpenAIModel("gpt-5", api="chat", client=client) as asking:
            with pytest.raises(ModelUnavailable):
                await asking.answer(asked())
        assert (await asking.answer(asked())).message == ModelMessage("a")
        assert not client.is_closed()
    assert [request["headers"]["authorization"] for request in server.requests()] == ["Bearer mine"] * 2


@on_a_loop
async def test_a_call_that_is_cancelled_leaves_the_model_usable(server: ModelServer) -> None:
    server.script({"hold": "it", "text": "a"}, {"text": "b"})
    async with model(server) as asking:
        task = asyncio.create_task(asking.answer(asked()))
        assert await asyncio.to_thread(server.held, 1) == ["it"]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await asking.answer(asked())).message.text == "b"
    server.release()


@on_a_loop
async def test_a_megabyte_comes_through_both_ways(server: ModelServer) -> None:
    arguments = json.dumps({"for": "x" * 1_000_000})
    server.script({"calls": [{"id": "a", "name": "search", "arguments": arguments}]}, {"text": "b"})
    async with model(server) as asking:
        answer = await asking.answer(ModelRequest("", ()))
        assert answer.message.calls[0].arguments == arguments
        await asking.answer(ModelRequest("", (answer.message, *given("a"))))
