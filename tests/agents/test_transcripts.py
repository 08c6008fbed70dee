"""Transcripts, rebuilt from journals: nobody is asked, nothing called, and each is valid (A3, A11)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import pytest

from amends.agents import (
    Agent,
    ApprovalPolicy,
    Message,
    ModelMessage,
    NoteMessage,
    ScriptedModel,
    ToolMessage,
    UndoTo,
    UserMessage,
    agent_tool,
    openai_messages,
    transcript,
    transcripts,
)
from amends.agents.exporting import UNANSWERED
from amends.sagas import (
    Coordinator,
    InputInvalid,
    NonDeterminism,
    RunFailed,
    UnknownSaga,
    receive,
    saga,
)
from amends.sagas.exported import load_run
from examples.model_server.server import problem
from tests.agents.agents_world import WORLD, book, call, pay
from tests.sagas.running import on_a_loop


@pytest.fixture(autouse=True)
def _anew() -> Iterator[None]:
    WORLD.clear()
    yield
    WORLD.clear()


def agent(*answers: Any, name: str = "transcripts.clerk", **options: Any) -> tuple[Agent[str], ScriptedModel]:
    model = ScriptedModel(answers)
    made = Agent(name, model=model, instructions="Be kind.", tools=[book, pay], **options)
    return made, model


def refused(messages: Iterable[Message]) -> str | None:
    """Tell what OpenAI would refuse of it."""
    return problem({"messages": openai_messages(messages)}, "chat")


@on_a_loop
async def test_a_transcript_is_rebuilt_without_asking_or_calling_anybody(database_url: str) -> None:
    """A3."""
    clerk, model = agent([call("agents_book", "a", what="Oslo"), call("nowhere", "b")], "Done.")
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(clerk, "Book Oslo.")
        assert await run.result(30) == "Done."
        asked, called = len(model.asked), list(WORLD)
        messages = await transcript(run)
        again = await transcript(await coordinator.get(run.id))
    assert (len(model.asked), WORLD) == (asked, called)
    assert again == messages
    assert messages == (*model.asked[-1].messages, ModelMessage("Done."))


@on_a_loop
async def test_a_call_that_waits_says_so_and_one_that_came_back_before_its_sibling_has_its_result(
    database_url: str,
) -> None:
    """A11."""
    clerk, _ = agent([call("agents_book", "a", what="Oslo"), call("pay", "b", amount=7)], "Done.")
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(clerk, "Book Oslo.")
        await coordinator.run_until_idle()
        waiting = await transcript(run)
        (approval,) = await coordinator.approvals()
        await coordinator.decide(approval.id, approved=True, by="ann")
        await run.result(30)
        done = await transcript(run)
        (result,) = [
            message.text for message in done if isinstance(message, ToolMessage) and message.name == "pay"
        ]
    assert [message.text for message in waiting if isinstance(message, ToolMessage)] == [
        "Oslo is booked",
        UNANSWERED,
    ]
    assert [message.text for message in done if isinstance(message, ToolMessage)] == [
        "Oslo is booked",
        result,
    ]
    assert refused(waiting) is refused(done) is None


@on_a_loop
async def test_it_is_in_the_form_that_openai_reads(sqlite_url: str) -> None:
    clerk, _ = agent(ModelMessage("Let me see.", (call("agents_book", "a", what="Oslo"),)), "Done.")
    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(clerk, "Book Oslo.")
        await run.result(30)
        (found,) = transcripts(await run.export())
    assert (found.agent, found.depth, found.used["turns"], found.used["tool_calls"]) == (
        "transcripts.clerk",
        0,
        2,
        1,
    )
    function = {"name": "agents_book", "arguments": '{"what": "Oslo"}'}
    assert openai_messages(found.messages, instructions=found.instructions) == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Book Oslo."},
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [{"id": "a", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "a", "content": "Oslo is booked"},
        {"role": "assistant", "content": "Done."},
    ]


@on_a_loop
async def test_what_was_undone_stands_in_it(database_url: str) -> None:
    """A9."""
    clerk, _ = agent(
        call("agents_book", "a", what="Oslo"),
        "Booked.",
        "Nothing is booked.",
        review=ApprovalPolicy(),
    )
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(clerk, "Book Oslo.")
        await coordinator.run_until_idle()
        await coordinator.signal(run.id, "amends.undo", UndoTo(turn=0, reason="too dear"))
        await coordinator.run_until_idle()
        called = list(WORLD)
        messages = await transcript(run)
    assert WORLD == called == ["book Oslo", "unbook Oslo"]
    (note,) = [message.text for message in messages if isinstance(message, NoteMessage)]
    assert "too dear" in note
    assert 'Undone: agents_book({"what":"Oslo"})' in note


@on_a_loop
async def test_a_run_that_was_undone_shows_what_was_said_before(database_url: str) -> None:
    clerk, _ = agent(call("agents_book", "a", what="Oslo"), "Booked.", review=ApprovalPolicy())
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(clerk, "Book Oslo.")
        await coordinator.run_until_idle()
        (approval,) = await coordinator.approvals()
        await coordinator.decide(approval.id, approved=False, by="ann")
        with pytest.raises(RunFailed):
            await run.result(30)
        rejected = await transcript(run)
        cancelled = await coordinator.start(agent(call("pay", "c", amount=7))[0], "Write.")
        await coordinator.run_until_idle()
        await cancelled.cancel()
        await coordinator.run_until_idle()
        cut = await transcript(cancelled)
    assert [type(message) for message in rejected] == [UserMessage, ModelMessage, ToolMessage, ModelMessage]
    assert cut[-1] == ToolMessage("c", "pay", UNANSWERED, failed=True)


@on_a_loop
async def test_sub_agents_have_transcripts_of_their_own(database_url: str) -> None:
    helper, _ = agent(call("agents_book", "x", what="Rome"), "Rome is booked.", name="transcripts_helper")
    clerk = Agent(
        "transcripts.boss",
        model=ScriptedModel([call("transcripts_helper", "a", task="Book Rome."), "All is booked."]),
        tools=[agent_tool(helper)],
    )
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(clerk, "Go.")
        await run.result(30)
        found = transcripts(json.dumps(await run.export()))
    assert [(each.agent, each.depth) for each in found] == [
        ("transcripts.boss", 0),
        ("transcripts_helper", 1),
    ]
    assert found[1].messages[0] == UserMessage("Book Rome.")
    assert found[0].used["turns"] == 4


@on_a_loop
async def test_a_transcript_is_valid_after_every_entry_of_the_journal(sqlite_url: str) -> None:
    """A11: as if the run had been killed there."""
    clerk, _ = agent(
        [call("agents_book", "a", what="Oslo"), call("pay", "b", amount=7)],
        [call("agents_book", "a", what="Rome")],
        "Booked.",
        [call("agents_book", "d", what="Bonn")],
        "Booked again.",
        review=ApprovalPolicy(),
    )
    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(clerk, "Go.")
        await coordinator.run_until_idle()
        (asked,) = await coordinator.approvals()
        await coordinator.decide(asked.id, approved=True, by="ann")
        await coordinator.run_until_idle()
        await coordinator.signal(run.id, "amends.undo", UndoTo(turn=1))
        await coordinator.run_until_idle()
        (asked,) = await coordinator.approvals()
        await coordinator.decide(asked.id, approved=False, by="ann")
        with pytest.raises(RunFailed):
            await run.result(30)
        document = await run.export()
    lengths = []
    for count in range(len(document["entries"]) + 1):
        (found,) = transcripts({**document, "entries": document["entries"][:count]})
        assert refused(found.messages) is None
        lengths.append(len(found.messages))
    assert all(before <= after for before, after in pairwise(lengths))
    assert lengths[-1] > 10


@saga
async def without_agent() -> str:
    return await receive(str, name="go")


@on_a_loop
async def test_a_run_without_agent_or_of_another_code_is_refused(sqlite_url: str) -> None:
    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(without_agent, id="r")
        with pytest.raises(InputInvalid, match="no agent has begun"):
            await transcript(run)
        clerk, _ = agent(call("agents_book", "a", what="Oslo"), "Done.")
        other = await coordinator.start(clerk, "Book Oslo.")
        await other.result(30)
        document = await other.export()
    with pytest.raises(UnknownSaga, match="nobody"):
        transcripts({**document, "run": {**document["run"], "saga": "nobody"}})
    agent("Done.", review=ApprovalPolicy())
    changed = load_run(document)
    del changed.entries[0]
    with pytest.raises(NonDeterminism):
        transcripts(changed)
