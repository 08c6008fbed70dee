"""A request in the form of Chat Completions: a pure function, so that the same request is the same bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from amends.agents import structured
from amends.agents.messages import Message, ModelMessage, NoteMessage, ToolMessage, UserMessage
from amends.agents.model import ModelRequest, OutputSpec, ToolSpec
from amends.agents.request_parts import called_with, finished, note
from amends.agents.structured import Structured
from amends.agents.texts import sendable_name
from amends.agents.transcripts import in_order

__all__ = ["chat_messages", "chat_request"]


def chat_request(
    model: str,
    request: ModelRequest,
    *,
    way: Structured | None = None,
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Give the body of a call to `/chat/completions`.

    `way` is how the request's output is asked for, `options` what is sent beside the request's own;
    those win. Raises `TranscriptInvalid`, and `RequestInvalid` for an option without JSON form.
    """
    messages = chat_messages(request.messages)
    told = structured.instructions(request, way)
    if told:
        messages.insert(0, {"role": "system", "content": told})
    body: dict[str, Any] = {"model": model, "messages": messages}
    tools = [_tool(tool) for tool in request.tools]
    if request.output is not None and way is Structured.TOOL:
        name = structured.output_tool(request, request.output)
        tools.append(_output_tool(name, request.output))
        forced = {"type": "function", "function": {"name": name}}
        body["tool_choice"] = "required" if request.tools else forced
    if tools:
        body["tools"] = tools
    if request.output is not None and way is Structured.SCHEMA:
        schema, strict = structured.strict(request.output.schema)
        form = {"name": structured.output_name(request.output), "schema": schema, "strict": strict}
        body["response_format"] = {"type": "json_schema", "json_schema": form}
    return finished(body, {**(options or {}), **request.options}, model)


def chat_messages(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """Give the messages of a transcript, in the order in which they are sent. Raises `TranscriptInvalid`."""
    return [sent for message in in_order(messages) if (sent := _message(message))]


def _message(message: Message) -> dict[str, Any] | None:
    """Give a message; None for one of the model's in which nothing was said, which some servers refuse."""
    match message:
        case UserMessage():
            return {"role": "user", "content": message.text}
        case NoteMessage():
            # Many chat templates take a system message in the first place only.
            return {"role": "user", "content": note(message.text)}
        case ToolMessage():
            return {"role": "tool", "tool_call_id": message.call, "content": message.text}
        case ModelMessage():
            return _model(message)


def _model(message: ModelMessage) -> dict[str, Any] | None:
    said = message.text or message.refusal
    if not said and not message.calls:
        return None
    sent: dict[str, Any] = {"role": "assistant", "content": said or None}
    if message.calls:
        sent["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": sendable_name(call.name), "arguments": called_with(call.arguments)},
            }
            for call in message.calls
        ]
    return sent


def _tool(tool: ToolSpec) -> dict[str, Any]:
    shown = {"name": tool.name, "description": tool.description, "parameters": tool.schema}
    return {"type": "function", "function": shown}


def _output_tool(name: str, output: OutputSpec) -> dict[str, Any]:
    shown = {"name": name, "description": "Give the final answer.", "parameters": output.schema}
    return {"type": "function", "function": shown}
