"""An answer in the form of the Responses API as a `ModelAnswer`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from amends.agents import structured
from amends.agents.answer_parts import Calls, named, text_of, unreadable, usage_of, without_thought
from amends.agents.chat_answer import whole
from amends.agents.messages import ModelMessage
from amends.agents.model import Finish, ModelAnswer, ModelRequest
from amends.agents.structured import Structured
from amends.agents.texts import plain

__all__ = ["responses_answer"]

ENDED = ("completed", "incomplete", None)
CUT = {"max_output_tokens": Finish.LENGTH, "max_tokens": Finish.LENGTH, "content_filter": Finish.FILTERED}


def responses_answer(
    found: dict[str, Any],
    request: ModelRequest,
    *,
    model: str,
    sent: int,
    way: Structured | None = None,
    provider: str | None = None,
) -> ModelAnswer:
    """Bring a decoded answer into our form; `sent` are the bytes of its request.

    What the provider wants to see again is kept as items of `provider`. Raises `AnswerInvalid` for an answer
    that holds nothing that can be read, or isn't finished.
    """
    try:
        return _answer(found, request, model, sent, way, provider)
    except RecursionError:
        raise unreadable(model, "is nested too deeply") from None


def _answer(
    found: dict[str, Any],
    request: ModelRequest,
    model: str,
    sent: int,
    way: Structured | None,
    provider: str | None,
) -> ModelAnswer:
    output = found.get("output")
    if not isinstance(output, list) or not all(isinstance(item, dict) for item in output):
        raise unreadable(model, "has no output that is a list of objects", output)
    if found.get("status") not in ENDED:
        raise unreadable(model, f"has the status {named(found.get('status'), '?')!r}")
    finish = _cut(found)
    if not output and finish is None:
        raise unreadable(model, "has an empty output")
    message = _message(output, Calls.after(request, model), provider)
    if finish is Finish.LENGTH and whole(message.calls) != message.calls:
        message = replace(message, calls=whole(message.calls), items=())
    usage = usage_of(found.get("usage"), sent, message)
    finish = finish or (Finish.CALLS if message.calls else Finish.STOP)
    message = structured.taken(message, finish, request, way)
    if finish is Finish.CALLS and not message.calls:
        finish = Finish.STOP
    return ModelAnswer(message, finish, usage, named(found.get("model"), model), named(found.get("id")))


def _cut(found: dict[str, Any]) -> Finish | None:
    details = found.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, dict) else None
    if found.get("status") != "incomplete" and reason is None:
        return None
    return CUT.get(str(reason), Finish.LENGTH)


def _message(output: list[dict[str, Any]], calls: Calls, provider: str | None) -> ModelMessage:
    said: list[tuple[Any, str]] = []
    refusals: list[str] = []
    items: list[dict[str, Any]] = []
    for item in output:
        if item.get("type") == "function_call":
            call = calls.add(item.get("call_id") or item.get("id"), item.get("name"), item.get("arguments"))
            items.append({**_without_id(item), "call_id": call.id, "arguments": call.arguments})
        elif item.get("type") == "message":
            text, refusal = text_of(item.get("content"))
            said.append((item.get("phase"), text))
            refusals.append(refusal)
            items.append(_without_id(item))
        elif item.get("type") != "reasoning" or item.get("encrypted_content"):
            items.append(item)
    final = [text for phase, text in said if phase == "final_answer"] or [text for _, text in said]
    text = "\n\n".join(filter(None, final))
    kept = tuple(plain(items)) if provider and any(_more_than_said(items)) else ()
    return ModelMessage(
        text=without_thought(text),
        calls=tuple(calls.made),
        refusal="\n\n".join(filter(None, refusals)) or None,
        items=kept,
        provider=provider if kept else None,
    )


def _without_id(item: dict[str, Any]) -> dict[str, Any]:
    """Leave out what names a record that the server doesn't keep."""
    return {name: value for name, value in item.items() if name not in ("id", "status")}


def _more_than_said(items: list[dict[str, Any]]) -> Iterator[bool]:
    """Tell of each item whether text and calls alone would lose something of it."""
    for item in items:
        yield item.get("type") not in ("message", "function_call") or bool(item.get("phase"))
