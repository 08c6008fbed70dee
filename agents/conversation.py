"""What has been said and done in an agent's conversation; replay makes the same one again."""

from __future__ import annotations

import hashlib
import json
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from amends.agents.budget import Ledger
from amends.agents.messages import Message, ModelMessage, NoteMessage, ToolCall, ToolMessage
from amends.agents.texts import clean
from amends.agents.tool import cut
from amends.sagas.outcome import Effect
from amends.sagas.scopes import Scope

WITNESS: ContextVar[list[Conversation] | None] = ContextVar("amends.conversations", default=None)
"""Where the conversations of a body are put for whoever looks at its replay; elsewhere nobody does."""


@dataclass(slots=True)
class Deed:
    """One call of a tool that has done something to the world: what it was, and whether it was undone."""

    turn: int
    tool: str
    arguments: str
    effect: Effect
    undone: bool = False

    def __str__(self) -> str:
        return f"{self.tool}({self.arguments})"

    @property
    def stays(self) -> bool:
        """Whether nothing undoes it."""
        return self.effect is not Effect.COMPENSATABLE


@dataclass(slots=True)
class Conversation:
    """The state of one agent's work: its transcript, what it did in which turn, what was allowed for good.

    `depth` counts the agents around it, `above` is the conversation of the one that it works for. `repairs`
    counts the final answers that didn't fit since the last that did something, `no_return` is the last turn
    whose pivot has landed: what was done up to it stays (S14). `results` are of the calls under way that have
    come back before the others of their answer, `whole` are those that were cut, by the ids of their calls.
    `own` tells that the run is this agent's own, `floor_at` after which turn its next replay floor is due.
    """

    agent: Any
    ledger: Ledger
    depth: int = 0
    above: Conversation | None = None
    messages: list[Message] = field(default_factory=list)
    turn: int = 0
    repairs: int = 0
    deeds: list[Deed] = field(default_factory=list)
    scopes: list[tuple[int, Scope]] = field(default_factory=list)
    no_return: int = 0
    allowed: set[str] = field(default_factory=set)
    ids: set[str] = field(default_factory=set)
    hash: Any = field(default_factory=hashlib.sha256, repr=False)
    hashed: int = 0
    results: dict[str, ToolMessage] = field(default_factory=dict)
    whole: dict[str, str] = field(default_factory=dict)
    own: bool = False
    floor_at: int = 0

    def say(self, message: Message) -> None:
        """Add a message."""
        self.messages.append(message)

    def note(self, text: str) -> None:
        """Tell the model something of our own."""
        self.messages.append(NoteMessage(text))

    def answered(self, message: ModelMessage) -> ModelMessage:
        """Add a model's answer, its calls under ids that are unique in the transcript (A8, A11)."""
        calls: list[ToolCall] = []
        for number, call in enumerate(message.calls):
            fresh = call.id and call.id not in self.ids
            call_id = call.id if fresh else f"call_{self.turn}_{number}"
            while call_id in self.ids:  # a model may have guessed it
                call_id += "_"
            self.ids.add(call_id)
            calls.append(call if fresh else replace(call, id=call_id))
        if tuple(calls) != message.calls:
            # What the provider wants to see again has the ids that it gave.
            message = replace(message, calls=tuple(calls), items=(), provider=None)
        self.messages.append(message)
        return message

    def told(self, call: ToolCall, text: str, *, failed: bool = False) -> ToolMessage:
        """Make the message that tells a model what became of a call."""
        told = self.results[call.id] = ToolMessage(call.id, call.name, text, failed)
        return told

    def shortened(self, call: ToolCall, text: str, limit: int) -> str:
        """Give as much of a result as the model is told; where it can read on, say how, and keep it whole."""
        reader = self.agent.tools.reader
        if reader is None or call.name == reader or len(text) <= limit:
            return cut(text, limit)
        self.whole[call.id] = clean(text)
        return cut(text, limit, f'; {reader}(result="{call.id}", start={limit}) gives more')

    def said(self) -> str:
        """Give the digest of all messages so far; each is hashed once, however long it gets."""
        for message in self.messages[self.hashed :]:
            self.hash.update(json.dumps(asdict(message), sort_keys=True).encode())
        self.hashed = len(self.messages)
        return str(self.hash.hexdigest())

    @property
    def last_text(self) -> str:
        """What the model said last."""
        texts = (message.text for message in reversed(self.messages) if isinstance(message, ModelMessage))
        return next((text for text in texts if text), "")

    def did(self, deed: Deed) -> None:
        """Note what a call has done. What stays of it concerns the agents above as well (A9)."""
        self.deeds.append(deed)
        if deed.effect is Effect.PIVOT:
            self.no_return = deed.turn
        if deed.stays and self.above is not None:
            self.above.did(replace(deed, turn=self.above.turn))

    def work_after(self, turn: int) -> list[Deed]:
        """Give what was done after a turn and not undone yet, the last first."""
        return [deed for deed in reversed(self.deeds) if deed.turn > turn and not deed.undone]
