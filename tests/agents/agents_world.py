"""Tools, models and runs for the tests of agents."""

from __future__ import annotations

import json
from typing import Any

from amends.agents import Agent, ScriptedModel, ToolCall, tool
from amends.agents.messages import Message, ModelMessage, NoteMessage, ToolMessage
from amends.sagas import Coordinator, Undo, current_step

WORLD: list[str] = []
"""What the tools have done and undone, in order."""


def call(name: str, /, id: str = "", **arguments: Any) -> ToolCall:
    """Make a model's call."""
    return ToolCall(id or f"c-{name}", name, json.dumps(arguments))


@tool(name="look", effect="read")
async def look(what: str) -> dict[str, Any]:
    """Look something up."""
    return {"what": what, "price": 30}


@tool(name="agents_book")
async def book(what: str) -> str:
    """Book something."""
    if what == "nothing":
        raise ValueError("sold out")
    WORLD.append(f"book {what}")
    return f"{what} is booked"


@book.compensation(name="agents.unbook")
async def unbook(undo: Undo[str], what: str) -> None:
    WORLD.append(f"unbook {what}")


@tool(name="mail", effect="irreversible")
def mail(text: str) -> None:
    """Send a mail."""
    WORLD.append(f"mail {text}")


@tool(name="pay")
def pay(amount: int) -> str:
    """Pay. Nothing is said of what undoes it."""
    WORLD.append(f"pay {amount}")
    return current_step().idempotency_key


def notes(model: ScriptedModel) -> list[str]:
    """Give what amends has told the model of its own accord."""
    return [message.text for message in model.asked[-1].messages if isinstance(message, NoteMessage)]


def results(model: ScriptedModel) -> list[tuple[str, str, bool]]:
    """Give what the model was told of its calls, as far as its last question says."""
    return [(m.name, m.text, m.failed) for m in model.asked[-1].messages if isinstance(m, ToolMessage)]


def valid(messages: tuple[Message, ...]) -> bool:
    """Tell whether each call has its result, once, before the next question (A11)."""
    waiting: set[str] = set()
    for message in messages:
        if isinstance(message, ToolMessage):
            if message.call not in waiting:
                return False
            waiting.discard(message.call)
        elif waiting:
            return False
        if isinstance(message, ModelMessage):
            waiting = {each.id for each in message.calls}
            if len(waiting) != len(message.calls):
                return False
    return not waiting


async def result_of(url: str, agent: Agent[Any], given: Any = "go", **options: Any) -> Any:
    """Run an agent to its end."""
    async with Coordinator(url, **options) as coordinator:
        return await (await coordinator.start(agent, given)).result(30)
