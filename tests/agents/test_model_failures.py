"""What a failed call means: the error that is raised, how long to wait, and no secret in any text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from amends.agents import (
    ContentRefused,
    ContextTooLong,
    KeyRejected,
    ModelBusy,
    ModelError,
    ModelUnavailable,
    ModelUnknown,
    QuotaExhausted,
    RequestInvalid,
    Structured,
)
from amends.agents import model_errors as errors
from amends.agents.model_failures import error_for, hidden, refuses, told, told_by, wait_of
from amends.sagas import Fatal, RetryAfter
from amends.sagas.failure import Failure, describe, named_by, rebuild
from tests.agents.asking import PATIENT, anything, texts

NOON = "Tue, 02 Jun 2026 12:00:00 GMT"


def raised(status: int | None, error: Any = None, **headers: str) -> ModelError:
    """Give the error for an answer."""
    body = json.dumps({"error": error}).encode()
    return error_for(
        told(status, {name.replace("_", "-"): value for name, value in headers.items()}, body), "gpt-x"
    )


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (429, {"code": "insufficient_quota"}, QuotaExhausted),
        (429, {"type": "insufficient_quota", "code": None}, QuotaExhausted),
        (402, "pay", QuotaExhausted),
        (401, {"code": "invalid_api_key"}, KeyRejected),
        (403, {}, KeyRejected),
        (404, {"code": "model_not_found"}, ModelUnknown),
        (404, "Not Found", ModelUnknown),
        (400, {"code": "context_length_exceeded"}, ContextTooLong),
        (400, {"message": "This model's maximum context length is 8192 tokens"}, ContextTooLong),
        (400, {"type": "exceed_context_size_error"}, ContextTooLong),
        (500, {"message": "the request exceeds the available context size"}, ContextTooLong),
        (413, None, ContextTooLong),
        (429, {"message": "Request too large for gpt-x on tokens per min"}, ContextTooLong),
        (400, {"code": "content_filter"}, ContentRefused),
        (400, {"code": "invalid_prompt"}, ContentRefused),
        (400, {"message": "Invalid schema for function 'x'"}, RequestInvalid),
        (422, [{"loc": []}], RequestInvalid),
        (418, None, RequestInvalid),
        (429, {"code": "rate_limit_exceeded", "message": "too many tokens per minute"}, ModelUnavailable),
        (408, None, ModelUnavailable),
        (409, None, ModelUnavailable),
        (500, None, ModelUnavailable),
        (503, "overloaded", ModelUnavailable),
        (529, {"type": "overloaded_error"}, ModelUnavailable),
    ],
)
def test_what_the_server_says_decides_whether_it_is_asked_again(
    status: int, error: Any, kind: type[ModelError]
) -> None:
    made = raised(status, error)
    assert type(made) is kind
    assert isinstance(made, Fatal) == (kind is not ModelUnavailable)
    assert (made.model, made.status) == ("gpt-x", status)
    assert made.code


@pytest.mark.parametrize("status", [429, 503])
def test_a_wait_that_the_server_asks_for_sets_the_next_attempt(status: int) -> None:
    error = raised(status, None, Retry_After="300")
    assert isinstance(error, ModelBusy)
    assert isinstance(error, RetryAfter)
    assert error.seconds == 300


def test_a_quota_that_is_used_up_is_final_although_it_comes_with_a_wait() -> None:
    assert isinstance(raised(429, {"code": "insufficient_quota"}, Retry_After="1"), QuotaExhausted)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"RETRY-AFTER": " 0.5 "}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"Retry-After": "Tue, 02 Jun 2026 12:05:00 GMT", "Date": NOON}, 300.0),
        ({"Retry-After": "Tue, 02 Jun 2026 11:00:00 GMT", "Date": NOON}, 0.0),
        ({"Retry-After": "Tue, 02 Jun 2026 12:05:00 GMT"}, None),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "9" * 30}, 100 * 365 * 86_400.0),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    assert wait_of(headers) == seconds


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        ({"error": {"code": 429, "message": "slow down"}}, ModelUnavailable),
        ({"error": {"code": 402, "message": "pay"}}, QuotaExhausted),
        ({"error": {"code": "rate_limit_exceeded"}}, ModelUnavailable),
        ({"error": {"code": "server_error"}}, ModelUnavailable),
        ({"error": {"code": "invalid_image"}}, RequestInvalid),
        ({"error": "the model crashed"}, ModelUnavailable),
    ],
)
def test_an_error_that_comes_with_status_200_is_one(found: Any, kind: type[ModelError]) -> None:
    assert type(error_for(told_by(None, {}, found), "m")) is kind


@PATIENT
@drawn(st.integers(400, 599) | st.none(), anything, st.dictionaries(st.just("retry-after") | texts, texts))
def test_whatever_a_server_says_becomes_an_error_of_ours(
    status: int | None, error: Any, headers: dict[str, str]
) -> None:
    for body in (error, {"error": error}, {"error": {"message": error, "code": error, "type": error}}):
        made = error_for(told_by(status, headers, body), "m")
        str(made).encode()
        json.dumps(made.args, allow_nan=False)


@pytest.mark.parametrize(
    "text",
    [
        "Incorrect API key provided: sk-proj-abc***xyz.",
        "header was 'Bearer hunter2-hunter2'",
        "at http://me:hunter2@host/v1",
        "you sent hunter2",
    ],
)
def test_no_secret_stands_in_an_error(text: str) -> None:
    told_so = told(401, {}, json.dumps({"error": {"message": text, "code": text}}).encode())
    words = str(error_for(told_so, "m", ("hunter2",)).args)
    assert "hunter2" not in words
    assert "xyz" not in words
    assert "[hidden]" in words


def test_half_a_secret_at_the_end_of_a_long_text_is_hidden_too() -> None:
    key = "k3y" * 20
    told_so = told(400, {}, json.dumps({"error": {"message": "x" * 580 + key}}).encode())
    assert "k3y" not in str(error_for(told_so, "m", (key,)))


def test_a_code_that_is_no_code_is_made_fit_to_be_stored() -> None:
    code = f"\ud800\x1b[31m{'x' * 90}hunter2{'x' * 1_000_000}"
    error = error_for(told_by(400, {}, {"error": {"code": code}}), "m", ("hunter2",))
    error.code.encode()
    assert "\x1b" not in error.code
    assert "hunt" not in str(error.args)
    assert len(str(error)) < 500


def test_hiding_takes_time_in_proportion_to_the_text() -> None:
    assert len(hidden("sk-" * 300_000)) > 0


@pytest.mark.parametrize("name", [name for name in errors.__all__ if name != "ModelError"])
def test_every_error_comes_out_of_a_journal_as_itself(name: str) -> None:
    error = getattr(errors, name)("what happened", "gpt-x", 429, "busy", 1.5)
    again = rebuild(Failure.from_json(describe(error).to_json()), named_by([], []))
    assert type(again) is type(error)
    assert isinstance(again, ModelError)
    assert (str(again), again.model, again.status, again.code, again.seconds) == (
        "what happened",
        "gpt-x",
        429,
        "busy",
        1.5,
    )


@pytest.mark.parametrize(
    ("status", "error", "way", "refused"),
    [
        (400, {"message": "This response_format type is unavailable now"}, Structured.SCHEMA, True),
        (400, {"message": "x", "param": "text.format"}, Structured.SCHEMA, True),
        (422, {"message": "guided decoding isn't supported"}, Structured.SCHEMA, True),
        (400, {"message": "tool_choice is not supported"}, Structured.TOOL, True),
        (400, {"message": "temperature must be below 2"}, Structured.SCHEMA, False),
        (400, {"message": "response_format", "code": "context_length_exceeded"}, Structured.SCHEMA, False),
        (404, {"message": "no such model json_schema", "code": "model_not_found"}, Structured.SCHEMA, False),
        (401, {"message": "response_format"}, Structured.SCHEMA, False),
        (500, {"message": "response_format"}, Structured.SCHEMA, False),
        (400, {"message": "response_format"}, Structured.PROMPT, False),
        (400, {"message": "response_format"}, None, False),
    ],
)
def test_a_way_of_asking_counts_as_refused_only_where_the_server_says_so(
    status: int, error: Any, way: Structured | None, refused: object
) -> None:
    assert refuses(told(status, {}, json.dumps({"error": error}).encode()), way) is refused
