"""What an agent asks a model, and what it gets: the same for every provider."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from amends.agents.messages import Message, ModelMessage

__all__ = ["Finish", "Model", "ModelAnswer", "ModelRequest", "OutputSpec", "ToolSpec", "Usage"]


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as the model sees it: `schema` is the JSON Schema of its arguments, an object."""

    name: str
    description: str
    schema: dict[str, Any]


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """The form of the final answer: a name and a JSON Schema."""

    name: str
    schema: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One question to a model: everything that it is told, and what it may call.

    `options` go to the provider as they are (temperature, reasoning effort, …).
    """

    instructions: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    output: OutputSpec | None = None
    options: dict[str, Any] = field(default_factory=dict)


class Finish(StrEnum):
    """Why the model stopped."""

    STOP = "stop"
    CALLS = "calls"
    LENGTH = "length"
    FILTERED = "filtered"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer. `known` is false where the server said nothing: what is there is an estimate."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    known: bool = True


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """What a model answered, with its usage. `model` is the server's name for it, `id` that of the answer."""

    message: ModelMessage
    finish: Finish
    usage: Usage
    model: str
    id: str = ""


class Model(Protocol):
    """Whatever can answer for an agent.

    It is called in a step, with no memory of its own between calls. What it raises decides what follows:
    `RetryAfter` sets the next attempt, durably; `Fatal` ends them; anything else is tried again by the
    agent's policy. It must not try again by itself.
    """

    @property
    def name(self) -> str:
        """The model's name, as it stands in journals, traces and price tables."""
        ...

    async def answer(self, request: ModelRequest) -> ModelAnswer:
        """Answer one request."""
        ...
