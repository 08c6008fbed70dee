"""What a model said is told from whatever a journal holds, in one line and without control codes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from amends.story.conversing import LONGEST, Talk, called, gave, said, spent, usage_of
from tests.agents.asking import anything, texts

USAGE = {"input_tokens": 10, "output_tokens": 2, "cached_tokens": 0}


def recorded(**message: Any) -> bytes:
    """Give a model's answer as it is recorded."""
    answer = {"message": message, "usage": USAGE, "finish": "stop", "model": "gpt-4o"}
    return json.dumps({"answer": answer, "request": "abc"}).encode()


def told(result: bytes) -> str:
    return said("clerk.model", Talk().of("clerk.model", b"{}", result)["answer"])


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"text": "Hi.\n\x1b[31mred"}, "says: Hi."),
        ({"text": "", "refusal": "I won't."}, "refuses: I won't."),
        ({"text": ""}, "says nothing"),
        ({"calls": [{"name": "pay", "arguments": '{"a": "x", "b": [1]}'}]}, 'calls pay(a="x", b=[1])'),
        ({"calls": [{"name": "pay", "arguments": '{"a": '}]}, 'calls pay("{\\"a\\": ")'),
        (
            {"calls": [{"name": "pay", "arguments": "{}"}, {"name": "look", "arguments": "7"}]},
            "pay(), look(7)",
        ),
    ],
)
def test_an_answer_is_told_in_one_line(message: dict[str, Any], words: str) -> None:
    line = told(recorded(**message))
    assert words in line
    assert line.endswith("(10 + 2 tokens)")
    assert line.isprintable()


def test_what_is_long_is_cut() -> None:
    calls = [{"name": "pay", "arguments": json.dumps({"text": "x" * 1_000_000})}]
    assert len(told(recorded(text="y" * 1_000_000, calls=calls))) < 3 * LONGEST


@given(anything)
def test_whatever_a_step_of_that_name_gave_is_told(value: Any) -> None:
    talk = Talk()
    for result in (value, {"answer": value}, {"answer": {"message": value, "usage": value}}):
        detail = talk.of("some.model", b"{}", json.dumps(result).encode())
        if "answer" in detail:
            assert said("some.model", detail["answer"])
            assert spent(usage_of([detail["answer"]]) or {})
    assert talk.of("some.model", b"", b"not JSON") == {}


@given(texts, anything, anything)
def test_whatever_a_tool_was_called_with_and_gave_is_one_printable_line(
    name: str, arguments: Any, result: Any
) -> None:
    talk = Talk()
    talk.of("a.model", b"{}", recorded(calls=[{"name": "tool", "arguments": "{}"}]))
    detail = talk.of("tool", json.dumps(arguments).encode(), json.dumps(result).encode())
    assert (called(name, detail["arguments"]) + gave(detail)).isprintable()
    assert talk.of("other", b"{}", b"{}") == {}


def test_usage_is_counted_by_list_prices_where_all_are_known() -> None:
    answer = Talk().of("a.model", b"{}", recorded(text="Hi."))["answer"]
    both = usage_of([answer, answer])
    assert both is not None
    assert (both["answers"], both["input_tokens"], both["cost"]) == (2, 20, "0.00009")
    unknown = usage_of([answer, {**answer, "model": "mine"}])
    assert unknown is not None
    assert unknown["cost"] is None
    assert spent(unknown) == "2 answers of gpt-4o, mine, 20 tokens in, 4 out"
    assert usage_of([]) is None
