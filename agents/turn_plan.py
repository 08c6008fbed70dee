"""What a turn is asked with: the agent's own, or what its `prepare_turn` makes of it; pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from amends.agents.conversation import Conversation
from amends.agents.messages import Message
from amends.agents.model import Model, OutputSpec, ToolSpec
from amends.sagas.errors import DefinitionError


@dataclass(frozen=True, slots=True)
class Turn:
    """A question that is about to be put to a model; `prepare_turn` may give another one.

    `number` counts from 1. `messages` is the transcript so far, `used` what was used up of the budget; no
    `models` are the agent's own.
    """

    number: int
    messages: Sequence[Message]
    used: dict[str, Any]
    instructions: str
    tools: tuple[ToolSpec, ...]
    output: OutputSpec | None
    options: dict[str, Any] = field(default_factory=dict)
    models: tuple[Model, ...] = ()

    def only(self, names: Collection[str]) -> Turn:
        """Give the turn with these tools alone."""
        return replace(self, tools=tuple(tool for tool in self.tools if tool.name in names))

    def without_tools(self) -> Turn:
        """Give the turn without tools: the model has to come to its answer."""
        return replace(self, tools=())


def planned(talk: Conversation) -> Turn:
    """Make the next turn. Raises `DefinitionError` for what `prepare_turn` mustn't give."""
    agent = talk.agent
    turn = Turn(
        talk.turn,
        tuple(talk.messages),
        dict(talk.ledger.used),
        agent.instructions_for(talk.messages[0]),
        agent.specs,
        agent.output.spec,
        dict(agent.options),
    )
    if agent.stop_when is not None and talk.turn > 1 and agent.stop_when(turn):
        return turn.without_tools()
    if agent.prepare_turn is None:
        return turn
    made = agent.prepare_turn(turn)
    if made is not None and not isinstance(made, Turn):
        raise DefinitionError(f"agent {agent.name!r}: prepare_turn gives a Turn or None, not {made!r}")
    return made or turn
