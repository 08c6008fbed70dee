"""Tools in runs, on both databases: as steps of a saga, and called by a model."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from amends.agents import (
    Agent,
    ApprovalPolicy,
    ScriptedModel,
    Tool,
    ToolCall,
    ToolMessage,
    digest_of,
    tool,
)
from amends.sagas import Approval, Coordinator, Retry, RunFailed, Status, Undo, current_step, saga

Given = dict[str, Any]


class World:
    """What the tools of these tests have really done."""

    def __init__(self) -> None:
        self.held: dict[str, Given] = {}
        self.keys: list[str] = []
        self.calls = 0


WORLD = World()


@pytest.fixture(autouse=True)
def world() -> World:
    WORLD.__init__()  # type: ignore[misc]  # a fresh world in the same place
    return WORLD


@tool(name="tools_book", retry=Retry(attempts=3), no_effect=LookupError)
async def book(room: str, tags: set[str], nights: int = 1) -> str:
    """Book a room."""
    WORLD.calls += 1
    WORLD.keys.append(current_step().idempotency_key)
    if room == "none":
        raise LookupError("there is no such room \ud800")
    WORLD.held[room] = {"tags": tags, "nights": nights}
    if nights > 9:
        raise ConnectionError("cut off")
    return f"{room} for {nights}"


@book.compensation(name="tools.give_back")
async def give_back(undo: Undo[str], room: str, tags: set[str], nights: int = 1) -> None:
    WORLD.held.pop(room, None)


@tool(name="tools_mail")
def mail(to: str, words: list[str], seal: bytes = b"") -> str:
    """Send a mail."""
    WORLD.held[f"mail to {to}"] = {"words": words, "seal": seal}
    return "sent"


@tool(name="tools_look", effect="read")
async def look(room: str) -> str:
    """Look at a room."""
    raise LookupError(f"nothing at {room}")


@saga(name="tools.trip")
async def trip(room: str, fails: bool) -> str:  # noqa: FBT001 - an input
    told = await book(room, {"sea", "quiet"}, nights=2)
    if fails:
        raise ValueError("no flight")
    return told


@pytest.mark.parametrize("fails", [True, False], ids=["undone", "kept"])
def test_in_a_saga_a_tool_is_a_step_with_its_compensation(database_url: str, *, fails: bool) -> None:
    """S3: a tool called by a body is recorded, has a key, and is undone like any step."""

    async def main() -> Status:
        async with Coordinator(database_url) as coordinator:
            run = await coordinator.start(trip, "attic", fails)
            with contextlib.suppress(RunFailed):
                assert await run.result(timeout=60) == "attic for 2"
            names = {entry.name for entry in await run.journal()}
            assert "tools_book" in names
            return await run.status()

    assert asyncio.run(main()) == ("compensated" if fails else "completed")
    assert WORLD.held == ({} if fails else {"attic": {"tags": {"sea", "quiet"}, "nights": 2}})
    assert len(WORLD.keys) == 1


def call(name: str, arguments: Given, id: str = "c1") -> ToolCall:
    return ToolCall(id, name, json.dumps(arguments))


def told(model: ScriptedModel) -> list[ToolMessage]:
    """Give what the model has been told of its calls when it was last asked."""
    return [message for message in model.asked[-1].messages if isinstance(message, ToolMessage)]


async def pending(coordinator: Coordinator) -> Approval:
    """Wait for the approval that a run asks for."""
    await coordinator.run_until_idle()
    asked = await coordinator.approvals()
    return asked[0]


def worked(
    url: str,
    tools: list[Tool[..., Any]],
    calls: list[ToolCall],
    decide: Callable[[Coordinator, Approval], Awaitable[Any]] | None = None,
) -> ScriptedModel:
    """Have an agent make these calls in its first turn; `decide` decides the approval that follows."""
    model = ScriptedModel([calls, "done"])
    agent = Agent("tools.agent", model=model, tools=tools)

    async def main() -> None:
        async with Coordinator(url) as coordinator:
            run = await coordinator.start(agent, "go")
            if decide is not None:
                await decide(coordinator, await pending(coordinator))
            assert await run.result(timeout=60) == "done"

    asyncio.run(main())
    return model


def test_errors_and_misfits_are_told_and_nothing_of_them_is_executed(database_url: str) -> None:
    """A1: each call is answered, in its own words; none of them ends the run."""
    calls = [
        call("tools_look", {"room": "attic"}, "c1"),
        call("tools_book", {"room": "none", "tags": []}, "c2"),
        call("Tools_book", {"room": "attic", "tags": []}, "c3"),
        call("tools_book", {"room": "attic", "tags": [], "night": 2}, "c4"),
        ToolCall("c5", "tools_book", '{"room": "attic", "room": "cellar", "tags": []}'),
    ]
    model = worked(database_url, [look, book], calls)
    texts = [message.text for message in told(model)]
    assert all(message.failed for message in told(model))
    assert texts[0] == "LookupError: nothing at attic"
    assert texts[1] == "LookupError: there is no such room \ufffd"
    assert texts[2] == "there is no tool 'Tools_book'; there are: tools_look, tools_book"
    assert "night: Unexpected keyword argument" in texts[3]
    assert "'room' twice" in texts[4]
    assert WORLD.calls == 1
    assert WORLD.held == {}


def test_a_tool_gets_what_the_model_wrote_and_keeps_one_key_over_its_attempts(database_url: str) -> None:
    """A8: the key is the occurrence's; the arguments come from the record."""
    calls = [
        call("tools_book", {"room": "a", "tags": ["y", "x"], "nights": "3"}, "c1"),
        call("tools_book", {"room": "b", "tags": []}, "c1"),
    ]
    model = worked(database_url, [book], calls)
    assert [message.text for message in told(model)] == ["a for 3", "b for 1"]
    assert WORLD.held == {"a": {"tags": {"x", "y"}, "nights": 3}, "b": {"tags": set(), "nights": 1}}
    assert len(set(WORLD.keys)) == 2


MAIL = {"to": "ann\0", "words": ["hello", "\U0001f642", "\x00"], "seal": "AP8="}


def test_what_people_are_shown_is_what_is_done_to_the_byte(database_url: str) -> None:
    """A7, A10: a tool of which nothing is said asks; its digest is that of the arguments on record."""
    shown: list[Approval] = []

    async def decide(coordinator: Coordinator, asked: Approval) -> None:
        shown.append(asked)
        await coordinator.decide(asked.id, approved=True, by="ann")

    model = worked(database_url, [mail], [call("tools_mail", MAIL)], decide)
    assert [message.text for message in told(model)] == ["sent"]
    assert WORLD.held == {"mail to ann\0": {"words": MAIL["words"], "seal": b"\x00\xff"}}
    (asked,) = shown
    assert asked.details["arguments"] == MAIL
    assert asked.details["effect"] == "irreversible"
    record = mail.arguments.encode_named(mail.parameters.read(json.dumps(MAIL)))
    assert asked.details["digest"] == digest_of("tools_mail", record)


def test_a_rejected_call_is_told_and_not_made(database_url: str) -> None:
    """A7, A10: the model hears who said no, and why."""

    async def decide(coordinator: Coordinator, asked: Approval) -> None:
        await coordinator.decide(asked.id, approved=False, by="bob", reason="too early")

    model = worked(database_url, [mail], [call("tools_mail", MAIL)], decide)
    assert [message.text for message in told(model)] == ["not called: bob has rejected it: too early"]
    assert WORLD.held == {}


def test_edited_arguments_are_what_is_done(database_url: str) -> None:
    """A10: what a person fills in is validated like the model's words, sets and bytes included."""
    asking = tool(name="tools_book_asking", approval=ApprovalPolicy(approvers=["ann"]))(book.fn)

    async def decide(coordinator: Coordinator, asked: Approval) -> None:
        await coordinator.decide(asked.id, approved=True, by="ann", values={"nights": 4, "tags": ["b", "a"]})

    given = {"room": "attic", "tags": ["z", "y", "x"], "nights": 2}
    worked(database_url, [asking], [call("tools_book_asking", given)], decide)
    assert WORLD.held == {"attic": {"tags": {"a", "b"}, "nights": 4}}


def test_an_approval_outlives_the_coordinator_that_asked(database_url: str) -> None:
    """A3, A10: what is asked on replay is what was asked, byte for byte, also where sets are in it."""
    asking = tool(name="tools_book_asking", approval="always")(book.fn)
    given = {"room": "attic", "tags": ["e", "d", "c", "b", "a"]}
    model = ScriptedModel([call("tools_book_asking", given), "done"])
    agent = Agent("tools.agent", model=model, tools=[asking])

    async def main() -> None:
        async with Coordinator(database_url) as first:
            run = await first.start(agent, "go")
            asked = await pending(first)
        async with Coordinator(database_url) as second:
            await second.decide(asked.id, approved=True, by="ann")
            run = await second.get(run.id)
            assert await run.result(timeout=60) == "done"

    asyncio.run(main())
    assert len(model.asked) == 2
    assert WORLD.calls == 1
