"""An answer in the form of Chat Completions, in whatever dialect, as a `ModelAnswer`."""

from __future__ import annotations

from typing import Any

from amends.agents import structured
from amends.agents.answer_parts import Calls, named, text_of, unreadable, usage_of, without_thought
from amends.agents.messages import ModelMessage, ToolCall
from amends.agents.model import Finish, ModelAnswer, ModelRequest
from amends.agents.structured import Structured
from amends.agents.texts import is_object

__all__ = ["chat_answer"]

FINISHES = {
    "length": Finish.LENGTH,
    "max_tokens": Finish.LENGTH,
    "model_length": Finish.LENGTH,
    "content_filter": Finish.FILTERED,
    "safety": Finish.FILTERED,
}


def chat_answer(
    found: dict[str, Any], request: ModelRequest, *, model: str, sent: int, way: Structured | None = None
) -> ModelAnswer:
    """Bring a decoded answer into our form; `sent` are the bytes of its request.

    Raises `AnswerInvalid` for one that holds no message that can be read.
    """
    try:
        return _answer(found, request, model, sent, way)
    except RecursionError:
        raise unreadable(model, "is nested too deeply") from None


def _answer(
    found: dict[str, Any], request: ModelRequest, model: str, sent: int, way: Structured | None
) -> ModelAnswer:
    choices = found.get("choices")
    if not isinstance(choices, list) or not choices:
        raise unreadable(model, "has no choices", choices)
    choice = choices[0]
    told = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(told, dict):
        raise unreadable(model, "has a choice without a message", told)
    if choice.get("finish_reason") == "error" or choice.get("error"):
        raise unreadable(model, "broke off with an error")
    finish = FINISHES.get(str(choice.get("finish_reason")).lower())
    message, finish = read_message(told, request, model, finish)
    usage = usage_of(found.get("usage"), sent, message)
    message = structured.taken(message, finish, request, way)
    if finish is Finish.CALLS and not message.calls:
        finish = Finish.STOP
    return ModelAnswer(message, finish, usage, named(found.get("model"), model), named(found.get("id")))


def read_message(
    told: dict[str, Any], request: ModelRequest, model: str, finish: Finish | None
) -> tuple[ModelMessage, Finish]:
    """Give a message and why it ended, which what is in it decides where the server is silent or wrong."""
    text, refused = text_of(told.get("content"))
    refusal = text_of(told.get("refusal"))[0] or refused
    calls = _calls(told, Calls.after(request, model))
    if finish is Finish.LENGTH:
        calls = whole(calls)
    message = ModelMessage(without_thought(text), calls, refusal or None)
    return message, finish or (Finish.CALLS if calls else Finish.STOP)


def whole(calls: tuple[ToolCall, ...]) -> tuple[ToolCall, ...]:
    """Leave out calls that the limit of tokens has cut."""
    return tuple(call for call in calls if is_object(call.arguments))


def _calls(told: dict[str, Any], calls: Calls) -> tuple[ToolCall, ...]:
    asked = told.get("tool_calls")
    if isinstance(asked, dict):
        asked = [asked]
    if not asked and told.get("function_call"):
        asked = [told["function_call"]]
    if asked is not None and not isinstance(asked, list):
        raise unreadable(calls.model, "has tool calls that are no list", asked)
    for call in asked or ():
        if not isinstance(call, dict):
            raise unreadable(calls.model, "has a tool call that is no object", call)
        function = call.get("function")
        inner = function if isinstance(function, dict) else call
        calls.add(call.get("id"), inner.get("name"), inner.get("arguments"))
    return tuple(calls.made)
