"""What was said in an agent's run, rebuilt from its journal; and in the form of OpenAI's chats (A11)."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from amends.agents.chat_request import chat_messages
from amends.agents.conversation import WITNESS, Conversation
from amends.agents.messages import Message, ModelMessage, ToolMessage
from amends.agents.texts import plain
from amends.sagas.errors import InputInvalid
from amends.sagas.exported import ExportedRun, load_run
from amends.sagas.handle import Run
from amends.sagas.registry import saga_named
from amends.sagas.rerunning import rerun
from amends.sagas.saga import Saga

UNANSWERED = "[no result: the call has not come back]"


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said in one agent's conversation.

    `depth` counts the agents around it: 0 for the agent of the run, or of a saga that calls one. `messages`
    hold a result for every call; one that hasn't come back says so. `used` is what it and the agents below it
    used up, as a `Budget` counts.
    """

    agent: str
    depth: int
    instructions: str
    messages: tuple[Message, ...]
    used: Mapping[str, Any]


async def transcript(run: Run[Any]) -> tuple[Message, ...]:
    """Give what was said in an agent's run so far, rebuilt from its journal; nobody is asked anything.

    The agent has to be defined in this process. Of a run with several agents it is the first; `transcripts`
    gives all of them. Raises `InputInvalid` where there is no agent in it, and what `transcripts` raises.

    >>> messages = await transcript(await coordinator.get("refund-7"))
    """
    found = transcripts(await run.export())
    if not found:
        raise InputInvalid(f"run {run.id!r} has no transcript: no agent has begun in it")
    return found[0].messages


def transcripts(document: ExportedRun | Mapping[str, Any] | str | bytes) -> tuple[Transcript, ...]:
    """Give the transcripts of all agents of an exported run, in the order in which they began.

    `document` is what `run.export()` or `amends export` gives. The run's body is run over its journal in
    memory; nothing is executed or written. A sub-agent that has a run of its own is in that run.
    Raises `UnknownSaga` where the run's saga isn't defined in this process, `NonDeterminism` where it does
    something else today than the journal says, and `RecordUnreadable`.
    """
    exported = document if isinstance(document, ExportedRun) else load_run(document)
    row = exported.row
    seen: list[Conversation] = []
    saga = _witnessed(saga_named(row.saga, row.version), seen)
    with rerun(saga, row, exported.entries):
        return tuple(_transcript(talk) for talk in seen)


def openai_messages(messages: Iterable[Message], *, instructions: str = "") -> list[dict[str, Any]]:
    """Give a transcript in the form of OpenAI's Chat Completions, every call with its result behind it (A11).

    `instructions` become the first message where they are given. What only the provider can read, such as
    encrypted reasoning, is left out. Raises `TranscriptInvalid` for a call without result.
    """
    first = [{"role": "system", "content": instructions}] if instructions else []
    sent: list[dict[str, Any]] = plain([*first, *chat_messages(messages)])
    return sent


def _witnessed(saga: Saga[..., Any], seen: list[Conversation]) -> Saga[..., Any]:
    """Give the saga with a body that puts its conversations into the list."""

    async def body(*args: Any, **kwargs: Any) -> Any:
        WITNESS.set(seen)
        return await saga.fn(*args, **kwargs)

    witnessed = copy.copy(saga)
    witnessed.fn = body
    return witnessed


def _transcript(talk: Conversation) -> Transcript:
    messages = (*talk.messages, *_missing(talk))
    instructions = talk.agent.instructions_for(talk.messages[0])
    return Transcript(talk.agent.name, talk.depth, instructions, messages, dict(talk.ledger.used))


def _missing(talk: Conversation) -> Iterable[ToolMessage]:
    """Give what is known of the calls that the transcript has no result of yet."""
    answered = {message.call for message in talk.messages if isinstance(message, ToolMessage)}
    for message in talk.messages:
        for call in message.calls if isinstance(message, ModelMessage) else ():
            if call.id not in answered:
                unanswered = ToolMessage(call.id, call.name, UNANSWERED, failed=True)
                yield talk.results.get(call.id, unanswered)
