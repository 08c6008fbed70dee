"""The model server itself: what tests and examples lean on when workers are killed."""

from __future__ import annotations

import http.client
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import pytest

from examples.model_server.running import ModelServer
from examples.model_server.server import problem

TOOL = {"type": "function", "function": {"name": "search", "parameters": {}}}


def ask(server: ModelServer, said: str = "?", **fields: Any) -> tuple[int, Any]:
    """Make one request without any client; give status and answer."""
    place = urlsplit(server.url)
    body = {"model": "m", "messages": [{"role": "user", "content": said}], **fields}
    with closing(http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)) as connection:
        connection.request("POST", "/v1/chat/completions", json.dumps(body))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def text(answer: tuple[int, Any]) -> str:
    said: str = answer[1]["choices"][0]["message"]["content"]
    return said


def test_an_answer_is_held_back_until_it_is_released(server: ModelServer) -> None:
    server.script({"hold": "first", "text": "a"})
    with ThreadPoolExecutor() as threads:
        asking = threads.submit(ask, server)
        assert server.held(at_least=1) == ["first"]
        assert not asking.done()
        server.release("first")
        assert text(asking.result()) == "a"
    assert server.held() == []


def test_a_repeated_request_gets_the_same_answer_to_the_byte(server: ModelServer) -> None:
    """Also one whose first asker was killed while its answer was held back."""
    server.script({"hold": "x", "text": "a"}, {"text": "b"}, same=True)
    with closing(http.client.HTTPConnection(urlsplit(server.url).netloc)) as killed:
        killed.request("POST", "/v1/chat/completions", json.dumps({"model": "m", "messages": []}))
        assert server.held(at_least=1) == ["x"]
    server.release("x")
    first = ask(server, messages=[])
    assert text(first) == "a"
    assert text(ask(server, "other")) == "b"
    assert ask(server, messages=[]) == first


def test_an_error_is_no_answer_to_repeat(server: ModelServer) -> None:
    server.script({"status": 500}, {"text": "a"}, same=True)
    assert ask(server)[0] == 500
    assert text(ask(server)) == text(ask(server)) == "a"


def test_answers_may_be_chosen_by_what_is_asked(server: ModelServer) -> None:
    server.script(
        {"when": "kettle", "text": "k"}, {"when": "lamp", "text": "l", "times": 0}, {"text": "other"}
    )
    assert [text(ask(server, said)) for said in ("a lamp", "a kettle", "a lamp", "a kettle")] == [
        "l",
        "k",
        "l",
        "other",
    ]
    assert ask(server)[1]["error"]["code"] == "script_ended"


def test_a_function_may_answer(server: ModelServer) -> None:
    server.script(function="call-then-answer")
    _, first = ask(server, tools=[TOOL])
    message = first["choices"][0]["message"]
    result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "3"}
    assert text(ask(server, tools=[TOOL], messages=[message, result])) == "done: 3"
    with pytest.raises(RuntimeError, match="there is no function 'guess'"):
        server.script(function="guess")


def test_it_tells_what_it_was_asked(server: ModelServer) -> None:
    server.script({"text": "a", "times": 0})
    ask(server, "x")
    ask(server, "y")
    first, second = server.requests(at_least=2)
    assert (first["number"], second["number"]) == (1, 2)
    assert first["body"]["messages"][0]["content"] == "x"


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "tool", "tool_call_id": "a"}],
        [{"role": "assistant", "tool_calls": [{"id": "a"}]}],
        [
            {"role": "assistant", "tool_calls": [{"id": "a"}]},
            {"role": "user"},
            {"role": "tool", "tool_call_id": "a"},
        ],
        [
            {"role": "assistant", "tool_calls": [{"id": "a"}, {"id": "a"}]},
            {"role": "tool", "tool_call_id": "a"},
        ],
        [{"role": "assistant", "tool_calls": [{}]}],
    ],
)
def test_a_transcript_that_openai_would_refuse_is_refused(server: ModelServer, messages: list[Any]) -> None:
    server.script({"text": "a"})
    assert ask(server, messages=messages)[0] == 400


@pytest.mark.parametrize(
    "items",
    [
        [{"type": "function_call", "call_id": "a"}],
        [{"type": "function_call_output", "call_id": "a"}],
        [{"type": "function_call_output", "call_id": "a"}, {"type": "function_call", "call_id": "a"}],
    ],
)
def test_items_that_openai_would_refuse_are_refused(items: list[Any]) -> None:
    assert problem({"input": items}, "responses") is not None
