"""What agents, models and tools are called in traces: OpenTelemetry's semantic conventions for generative AI.

Those of the repository semantic-conventions-genai, version 0.1.0, which are in development. Everything
follows from the journal, so that a replay tells nothing anew. What people and models have said is left out
unless it is asked for (`amends.tracing.configure(content=True)`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.trace import SpanKind

from amends.agents.messages import Message, ModelMessage, ToolMessage
from amends.agents.model import Finish, ModelAnswer, ModelRequest
from amends.agents.prices import cost
from amends.tracing.content import CONTENT
from amends.tracing.span_data import Attributes, Value

if TYPE_CHECKING:
    from amends.agents.agent import Agent
    from amends.agents.tool import Tool

FINISHES: Final = {
    Finish.STOP: "stop",
    Finish.CALLS: "tool_call",
    Finish.LENGTH: "length",
    Finish.FILTERED: "content_filter",
}
Part = dict[str, Any]


@dataclass(frozen=True, slots=True)
class AgentWords:
    """How an agent's run is told: `invoke_agent {agent}`."""

    name: str
    kind: SpanKind = SpanKind.INTERNAL

    def title(self, arguments: bytes) -> str:
        """Give the span's name."""
        del arguments
        return f"invoke_agent {self.name}"

    def attributes(self, arguments: bytes, result: bytes | None) -> Attributes:
        """Give what it says."""
        del arguments, result
        return {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": self.name}


@dataclass(frozen=True, slots=True)
class ToolWords:
    """How a tool's call is told: `execute_tool {tool}`."""

    tool: Tool[..., Any]
    kind: SpanKind = SpanKind.INTERNAL

    def title(self, arguments: bytes) -> str:
        """Give the span's name."""
        del arguments
        return f"execute_tool {self.tool.name}"

    def attributes(self, arguments: bytes, result: bytes | None) -> Attributes:
        """Give what it says."""
        said: dict[str, Value] = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": self.tool.name,
            "gen_ai.tool.type": "function",
        }
        if CONTENT.captured:
            said["gen_ai.tool.call.arguments"] = arguments.decode()
            if result is not None:
                said["gen_ai.tool.call.result"] = result.decode()
        return said


@dataclass(frozen=True, slots=True)
class ModelWords:
    """How a model's call is told: `chat {model}`, with its usage and what that costs in US dollars."""

    agent: Agent[Any]
    kind: SpanKind = SpanKind.CLIENT

    def title(self, arguments: bytes) -> str:
        """Give the span's name."""
        return f"chat {self._model(arguments).name}"

    def attributes(self, arguments: bytes, result: bytes | None) -> Attributes:
        """Give what it says."""
        model = self._model(arguments)
        said: dict[str, Value] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": getattr(model, "provider", "unknown"),
            "gen_ai.request.model": model.name,
            "gen_ai.agent.name": self.agent.name,
        }
        if result is not None:
            answer: ModelAnswer = self.agent.model_call.result.decode(result).answer
            said |= _of_answer(answer)
            price = cost(model.name, answer.usage, prices=self.agent.prices)
            if price is not None:
                said["amends.usage.cost"] = float(price)
        return said

    def _model(self, arguments: bytes) -> Any:
        choice = json.loads(arguments).get("choice", 0)
        return self.agent.models[min(choice, len(self.agent.models) - 1)]


def of_request(request: ModelRequest) -> Attributes:
    """Give what a model is asked, for its span while it is asked; nothing where content isn't asked for."""
    if not CONTENT.captured:
        return {}
    instructions = [{"type": "text", "content": request.instructions}]
    return {
        "gen_ai.system_instructions": json.dumps(instructions),
        "gen_ai.input.messages": json.dumps([_message(message) for message in request.messages]),
    }


def _of_answer(answer: ModelAnswer) -> dict[str, Value]:
    usage = answer.usage
    said: dict[str, Value] = {
        "gen_ai.response.model": answer.model,
        "gen_ai.response.finish_reasons": (FINISHES[answer.finish],),
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
    }
    if answer.id:
        said["gen_ai.response.id"] = answer.id
    if usage.cached_tokens:
        said["gen_ai.usage.cache_read.input_tokens"] = usage.cached_tokens
    if usage.reasoning_tokens:
        said["gen_ai.usage.reasoning.output_tokens"] = usage.reasoning_tokens
    if CONTENT.captured:
        message = {**_message(answer.message), "finish_reason": FINISHES[answer.finish]}
        said["gen_ai.output.messages"] = json.dumps([message])
    return said


def _message(message: Message) -> Part:
    """Give a message as the conventions have it: a role, and parts."""
    if isinstance(message, ModelMessage):
        return {"role": "assistant", "parts": _parts(message)}
    if isinstance(message, ToolMessage):
        part = {"type": "tool_call_response", "id": message.call, "response": message.text}
        return {"role": "tool", "parts": [part]}
    return {"role": "user", "parts": [{"type": "text", "content": message.text}]}


def _parts(message: ModelMessage) -> Sequence[Part]:
    said = message.text or message.refusal
    texts: list[Part] = [{"type": "text", "content": said}] if said else []
    calls = [
        {"type": "tool_call", "id": call.id, "name": call.name, "arguments": _arguments(call.arguments)}
        for call in message.calls
    ]
    return [*texts, *calls]


def _arguments(text: str) -> Any:
    """Give a call's arguments as data, where they are any."""
    try:
        return json.loads(text)
    except ValueError:
        return text
