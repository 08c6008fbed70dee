"""What a conversation consists of: the messages of a transcript, in no provider's format."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

__all__ = ["Message", "ModelMessage", "NoteMessage", "ToolCall", "ToolMessage", "UserMessage"]


@dataclass(frozen=True, slots=True)
class UserMessage:
    """What a person, or the saga around the agent, says to the model."""

    text: str
    kind: Literal["user"] = "user"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that the model asks for.

    `id` is unique in its transcript, given by us where a server gives none; keys of effects are never made of
    it (A8). `arguments` is the JSON text as the model wrote it: nothing has looked into it yet.
    """

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ModelMessage:
    """What the model answered: text, calls of tools, or its refusal.

    `items` is what the provider wants to see again in the next request, in its own form (as reasoning that it
    has encrypted); `provider` names whose form that is, and nobody else is sent it.
    """

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    refusal: str | None = None
    items: tuple[dict[str, Any], ...] = ()
    provider: str | None = None
    kind: Literal["model"] = "model"


@dataclass(frozen=True, slots=True)
class ToolMessage:
    """What became of a tool's call, as the model is told. `failed` for whatever isn't a result."""

    call: str
    name: str
    text: str
    failed: bool = False
    kind: Literal["tool"] = "tool"


@dataclass(frozen=True, slots=True)
class NoteMessage:
    """What amends tells the model of its own accord: what was undone (A9), or what didn't fit."""

    text: str
    kind: Literal["note"] = "note"


Message = Annotated[UserMessage | ModelMessage | ToolMessage | NoteMessage, Field(discriminator="kind")]
"""One entry of a transcript."""
