"""What servers send for texts, calls and tokens: each brought into one form, or refused clearly."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from amends.agents.messages import ModelMessage, ToolCall
from amends.agents.model import ModelRequest, Usage
from amends.agents.model_errors import AnswerInvalid
from amends.agents.texts import as_json, clean
from amends.agents.transcripts import call_ids

THOUGHT = re.compile(r"\s*<think>.*?</think>\s*", re.DOTALL)
PART = frozenset({"type", "text", "refusal", "annotations", "logprobs"})
LONGEST_ID = 64
BYTES_A_TOKEN = 4
MOST_TOKENS = 1 << 50


def decoded(body: bytes, model: str) -> dict[str, Any]:
    """Read the body of an answer, a JSON object. Raises `AnswerInvalid`."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        told = "nested too deeply" if isinstance(error, RecursionError) else f"no JSON: {error}"
        raise AnswerInvalid(
            f"what the server answered for {model!r} is {told}; asking again may help", model, code="no_json"
        ) from None
    if not isinstance(found, dict):
        raise unreadable(model, "is no object", found)
    return found


def unreadable(model: str, what: str, found: Any = None) -> AnswerInvalid:
    """Make the error for an answer that can't be used; `found` is shown by its kind only."""
    kind = "" if found is None else f" (a {type(found).__name__})"
    return AnswerInvalid(
        f"what the server answered for {model!r} {what}{kind}; asking again may help",
        model,
        code="unreadable",
    )


def text_of(content: Any) -> tuple[str, str]:
    """Give the text and the refusal in a message's content: a text, null, parts of either kind, or an object.

    An object that is no part is what some servers make of an answer in JSON: its text is that JSON.
    """
    if isinstance(content, str):
        return clean(content), ""
    if content is None:
        return "", ""
    if isinstance(content, dict):
        return _part(content) if content.keys() <= PART else (clean(as_json(content)), "")
    if isinstance(content, list):
        parts = [_part(part) for part in content]
        return "".join(text for text, _ in parts), "".join(refusal for _, refusal in parts)
    return clean(as_json(content)), ""


def _part(part: Any) -> tuple[str, str]:
    """Give the words of one part; audio, images and thoughts have none."""
    if isinstance(part, str):
        return clean(part), ""
    if not isinstance(part, dict):
        return "", ""
    text, refusal = part.get("text"), part.get("refusal")
    if part.get("type") == "refusal":
        return "", clean(refusal) if isinstance(refusal, str) else ""
    return clean(text) if isinstance(text, str) and part.get("type") != "thinking" else "", ""


def without_thought(text: str) -> str:
    """Leave out the reasoning that some servers put before the answer."""
    found = THOUGHT.match(text)
    return text[found.end() :] if found else text


@dataclass(slots=True)
class Calls:
    """Gives each call of an answer an id that its transcript doesn't have yet, without chance."""

    model: str
    taken: set[str] = field(default_factory=set)
    made: list[ToolCall] = field(default_factory=list)

    @classmethod
    def after(cls, request: ModelRequest, model: str) -> Calls:
        """Begin behind a request's transcript."""
        return cls(model, set(call_ids(request.messages)))

    def add(self, id: Any, name: Any, arguments: Any) -> ToolCall:
        """Take a call as a server gave it. Raises `AnswerInvalid` for one that names no tool."""
        if not isinstance(name, str) or not name.strip():
            raise unreadable(self.model, "has a call that names no tool", name)
        call = ToolCall(self._id(id), clean(name), self._arguments(arguments))
        self.made.append(call)
        return call

    def _id(self, given: Any) -> str:
        wanted = _usable(given) or f"call_{len(self.taken) + 1}"
        chosen, number = wanted, 1
        while chosen in self.taken:
            number += 1
            chosen = f"{wanted[: LONGEST_ID - 8]}_{number}"
        self.taken.add(chosen)
        return chosen

    @staticmethod
    def _arguments(given: Any) -> str:
        if isinstance(given, str):
            return clean(given) if given.strip() else "{}"
        return "{}" if given is None else clean(as_json(given))


def _usable(id: Any) -> str:
    """Give an id that every server takes again: short, printable, from what was given."""
    if isinstance(id, bool | float) or not isinstance(id, str | int):
        return ""
    given = clean(str(id)).strip() if isinstance(id, str) or abs(id) < MOST_TOKENS else ""
    if len(given) <= LONGEST_ID and given.isascii() and given.isprintable():
        return given
    return f"call_{hashlib.sha256(given.encode()).hexdigest()[:24]}"


def tokens(found: Any, *names: str) -> int | None:
    """Give the first of these numbers of tokens that there is."""
    for name in names:
        value = found.get(name) if isinstance(found, dict) else None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST_TOKENS:
            return value
    return None


def usage_of(found: Any, sent: int, message: ModelMessage) -> Usage:
    """Give an answer's usage; where the server doesn't tell, estimate it: a token is four bytes.

    `sent` are the bytes of the request. No request takes no token, so a nought for it isn't believed.
    """
    asked = tokens(found, "prompt_tokens", "input_tokens") or None
    answered = tokens(found, "completion_tokens", "output_tokens")
    said = _said(message)
    if answered == 0 and said:
        answered = None
    details = found if isinstance(found, dict) else {}
    inner = details.get("prompt_tokens_details") or details.get("input_tokens_details")
    outer = details.get("completion_tokens_details") or details.get("output_tokens_details")
    whole = -(-sent // BYTES_A_TOKEN) if asked is None else asked
    given = -(-said // BYTES_A_TOKEN) if answered is None else answered
    cached = tokens(inner, "cached_tokens") or tokens(found, "prompt_cache_hit_tokens") or 0
    return Usage(
        input_tokens=whole,
        output_tokens=given,
        cached_tokens=min(whole, cached),
        reasoning_tokens=min(given, tokens(outer, "reasoning_tokens") or 0),
        known=asked is not None and answered is not None,
    )


def _said(message: ModelMessage) -> int:
    texts: Iterable[str] = (
        message.text,
        message.refusal or "",
        *(part for call in message.calls for part in (call.name, call.arguments)),
    )
    return sum(len(text.encode()) for text in texts)


def named(found: Any, otherwise: str = "") -> str:
    """Give a text that only informs, such as the server's name for a model."""
    return clean(found)[:200] if isinstance(found, str) and found else otherwise
