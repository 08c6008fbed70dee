"""What a failed call of a model means: from what the server said to the error that is raised, purely."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

from amends.agents.model_errors import (
    ContentRefused,
    ContextTooLong,
    KeyRejected,
    ModelBusy,
    ModelError,
    ModelFatal,
    ModelUnavailable,
    ModelUnknown,
    QuotaExhausted,
    RequestInvalid,
)
from amends.agents.structured import Structured
from amends.agents.texts import excerpt

LONGEST_CODE = 100
LONGEST_WAIT = 100 * 365 * 86_400.0
BAD_REQUEST, TOO_MANY, BROKEN, PAST_ALL = 400, 429, 500, 600
LATER = frozenset({TOO_MANY, 503})
TRANSIENT = frozenset({408, 409, 425, TOO_MANY})
HIDDEN = "[hidden]"
SECRET = re.compile(r"(?i)(bearer|basic)\s+[^\s\"']+|\bsk-[\w*.-]{3,}|(?<=://)[^/\s\"'@]+@")
"""What looks like a key, or a password in a URL, whoever's it is."""

CODES: Mapping[str, type[ModelFatal]] = {
    "insufficient_quota": QuotaExhausted,
    "billing_hard_limit_reached": QuotaExhausted,
    "billing_not_active": QuotaExhausted,
    "quota_exceeded": QuotaExhausted,
    "invalid_api_key": KeyRejected,
    "context_length_exceeded": ContextTooLong,
    "exceed_context_size_error": ContextTooLong,
    "model_not_found": ModelUnknown,
    "content_filter": ContentRefused,
    "content_policy_violation": ContentRefused,
    "image_content_policy_violation": ContentRefused,
    "misalignment_policy_violation": ContentRefused,
    "bio_policy": ContentRefused,
    "invalid_prompt": ContentRefused,
    "moderation_blocked": ContentRefused,
    "responsibleaipolicyviolation": ContentRefused,
}
PASSING = frozenset({"server_error", "rate_limit_exceeded", "overloaded", "overloaded_error", "timeout"})
STATUSES: Mapping[int, type[ModelFatal]] = {
    401: KeyRejected,
    402: QuotaExhausted,
    403: KeyRejected,
    404: ModelUnknown,
    413: ContextTooLong,
}
TOO_LONG = re.compile(
    r"(?i)context (length|window|size)|maximum context|context the overflows|too many tokens"
    r"|(prompt|input) is too long|request too large"
)
NEVER_FITS = re.compile(r"(?i)request too large")
"""A limit of tokens a minute that this request alone is over: waiting doesn't help."""
FORM_REFUSED = frozenset({400, 404, 415, 422, 501})
FORM_WORDS: Mapping[Structured, re.Pattern[str]] = {
    Structured.SCHEMA: re.compile(
        r"(?i)response_format|json_schema|text\.format|structured|guided|grammar|json mode|schema"
    ),
    Structured.TOOL: re.compile(r"(?i)tool|function"),
}
ADVICE: Mapping[type[ModelFatal], str] = {
    QuotaExhausted: "raise the account's limit or pay, then let the run be tried again",
    KeyRejected: "check the key, and that its project may use this model",
    ModelUnknown: "check the model's name, and that base_url ends as its server wants it (often in /v1)",
    ContextTooLong: "send fewer or shorter messages, or take a model with a longer context",
    ContentRefused: "the same content will be refused again",
    RequestInvalid: "check options and tool schemas against what this server takes",
}


@dataclass(frozen=True, slots=True)
class Told:
    """What a server said when it didn't answer: the status (None: an error in a body with status 200)."""

    status: int | None
    headers: Mapping[str, str] = field(default_factory=dict)
    message: str = ""
    code: str = ""
    type: str = ""
    param: str = ""


def told(status: int | None, headers: Mapping[str, str], body: bytes) -> Told:
    """Read an answer that reports an error, whatever the shape of its body."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return Told(status, headers, body[:4_000].decode("utf-8", "replace"))
    return told_by(status, headers, found)


def told_by(status: int | None, headers: Mapping[str, str], found: Any) -> Told:
    """Read an error that came as JSON, such as `{"error": {…}}`, `{"error": "…"}`, `{"message": "…"}`."""
    inner = found.get("error") or found if isinstance(found, dict) else found
    if not isinstance(inner, dict):
        return Told(status, headers, inner if isinstance(inner, str) else "")
    words = (inner.get(name) for name in ("message", "detail", "error", "msg"))
    message = next((word for word in words if isinstance(word, str)), "")
    code, kind, param = (_word(inner.get(name)) for name in ("code", "type", "param"))
    number = inner.get("code")
    if status is None and isinstance(number, int) and BAD_REQUEST <= number < PAST_ALL:
        status = number
    return Told(status, headers, message, code, kind, param)


def _word(value: Any) -> str:
    return value if isinstance(value, str) else ""


def error_for(told: Told, model: str, secrets: tuple[str, ...] = ()) -> ModelError:
    """Decide what is raised; no text of it holds one of the `secrets`, or anything that looks like one."""
    # Hidden first: cut, half a key would not be found.
    said = excerpt(hidden(told.message, secrets))
    code = excerpt(hidden(told.code or told.type, secrets), LONGEST_CODE)
    words = (
        f"{model!r}: {'the server failed' if told.status is None else f'the server answered {told.status}'}"
    )
    words += f" ({code})" if code else ""
    words += f": {said}" if said else ""
    fatal = _fatal(told)
    if fatal is not None:
        return fatal(f"{words}. To do: {ADVICE[fatal]}", model, told.status, code or _name(fatal))
    seconds = wait_of(told.headers) if told.status in LATER else None
    if seconds is None:
        return ModelUnavailable(f"{words}. Asking again may help", model, told.status, code or "unavailable")
    return ModelBusy(
        f"{words}. It asks to come again after {seconds:g} s", model, told.status, code or "busy", seconds
    )


def _fatal(told: Told) -> type[ModelFatal] | None:
    for word in (told.code, told.type):
        known = CODES.get(word.lower())
        if known is not None:
            return known
    status = told.status
    passes = status is None or status >= BROKEN or status in TRANSIENT
    long = NEVER_FITS if status == TOO_MANY else TOO_LONG
    if long.search(told.message[:4_000]) and (not passes or status in (TOO_MANY, BROKEN)):
        return ContextTooLong
    if status is None:
        return None if not told.code or told.code.lower() in PASSING else RequestInvalid
    return None if passes else STATUSES.get(status, RequestInvalid)


def refuses(told: Told, way: Structured | None) -> bool:
    """Tell whether a server refuses the way in which it is asked for the output's form, and nothing else."""
    if way is None or way not in FORM_WORDS or told.status not in FORM_REFUSED:
        return False
    if _fatal(told) not in (RequestInvalid, ModelUnknown) or told.code.lower() == "model_not_found":
        return False
    return FORM_WORDS[way].search(f"{told.param} {told.code} {told.message[:4_000]}") is not None


def _name(kind: type[ModelFatal]) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower()


def hidden(text: str, secrets: tuple[str, ...] = ()) -> str:
    """Take secrets out of a text."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, HIDDEN)
    return SECRET.sub(HIDDEN, text)


def wait_of(headers: Mapping[str, str]) -> float | None:
    """Read how many seconds a server asks to wait: `retry-after-ms`, or `Retry-After` in seconds or a date.

    A date is read by the clock that the answer's own `Date` shows. None where nothing can be read.
    """
    lower = {name.lower(): value.strip() for name, value in headers.items()}
    for seconds in _waits(lower):
        if seconds is not None and math.isfinite(seconds) and seconds >= 0:
            return min(LONGEST_WAIT, seconds)
    return None


def _waits(headers: Mapping[str, str]) -> Iterator[float | None]:
    milliseconds = _number(headers.get("retry-after-ms"))
    yield None if milliseconds is None else milliseconds / 1000
    told = headers.get("retry-after")
    yield _number(told)
    try:
        at = parsedate_to_datetime(told or "") - parsedate_to_datetime(headers.get("date", ""))
        yield max(0.0, at.total_seconds())
    except (ValueError, TypeError, OverflowError):
        yield None


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
