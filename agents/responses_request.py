"""A request in the form of the Responses API: a pure function, so that the same request is the same bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from amends.agents import structured
from amends.agents.messages import Message, ModelMessage, NoteMessage, ToolMessage, UserMessage
from amends.agents.model import ModelRequest
from amends.agents.request_parts import called_with, finished, note
from amends.agents.structured import Structured
from amends.agents.texts import sendable_name
from amends.agents.transcripts import in_order

__all__ = ["responses_request"]


def responses_request(
    model: str,
    request: ModelRequest,
    *,
    way: Structured | None = None,
    options: Mapping[str, Any] | None = None,
    provider: str | None = None,
) -> dict[str, Any]:
    """Give the body of a call to `/responses`, which keeps nothing on the server.

    `way` is how the request's output is asked for, `options` what is sent beside the request's own; those
    win. The items of messages are sent to the `provider` that wrote them, and to nobody else. Raises
    `TranscriptInvalid`, and `RequestInvalid` for an option without JSON form.
    """
    given = [item for message in in_order(request.messages) for item in _items(message, provider)]
    body: dict[str, Any] = {"model": model, "input": given}
    told = structured.instructions(request, way)
    if told:
        body["instructions"] = told
    tools = [_function(tool.name, tool.description, tool.schema) for tool in request.tools]
    if request.output is not None and way is Structured.TOOL:
        name = structured.output_tool(request, request.output)
        tools.append(_function(name, "Give the final answer.", request.output.schema))
        body["tool_choice"] = "required" if request.tools else {"type": "function", "name": name}
    if tools:
        body["tools"] = tools
    if request.output is not None and way is Structured.SCHEMA:
        schema, strict = structured.strict(request.output.schema)
        name = structured.output_name(request.output)
        body["text"] = {"format": {"type": "json_schema", "name": name, "schema": schema, "strict": strict}}
    return finished(body, {"store": False, **(options or {}), **request.options}, model)


def _function(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    # Left out, `strict` would let the server rewrite the schema.
    shown = {"name": name, "description": description, "parameters": schema, "strict": False}
    return {"type": "function", **shown}


def _items(message: Message, provider: str | None) -> Iterator[dict[str, Any]]:
    match message:
        case UserMessage():
            yield {"type": "message", "role": "user", "content": message.text}
        case NoteMessage():
            yield {"type": "message", "role": "developer", "content": note(message.text)}
        case ToolMessage():
            yield {"type": "function_call_output", "call_id": message.call, "output": message.text}
        case ModelMessage():
            yield from _own(message, provider) or _said(message)


def _own(message: ModelMessage, provider: str | None) -> list[dict[str, Any]]:
    """Give the items that the provider wrote, unless they aren't the calls that the message has."""
    if provider is None or message.provider != provider:
        return []
    calls = [item.get("call_id") for item in message.items if item.get("type") == "function_call"]
    return list(message.items) if calls == [call.id for call in message.calls] else []


def _said(message: ModelMessage) -> Iterator[dict[str, Any]]:
    said = message.text or message.refusal
    if said:
        yield {"type": "message", "role": "assistant", "content": said}
    for call in message.calls:
        named = {"name": sendable_name(call.name), "arguments": called_with(call.arguments)}
        yield {"type": "function_call", "call_id": call.id, **named}
