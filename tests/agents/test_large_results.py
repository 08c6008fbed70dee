"""Results that are too long to be told whole: named, and read on in, without a step."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta

import pytest

from amends.agents import (
    Agent,
    ModelRequest,
    ScriptedModel,
    ToolCall,
    ToolMessage,
    UserMessage,
    read_result,
    sleeping,
    tool,
)
from amends.sagas import Coordinator
from amends.sagas.errors import DefinitionError
from amends.sagas.testing import VirtualClock
from tests.sagas.running import on_a_loop

ROWS = "".join(f"row {n:04}\n" for n in range(1_000))


@tool(effect="read", limit=90)
async def export_rows(count: int) -> str:
    return ROWS[: count * 9]


def reading(call: str, result: str, start: int = 0, length: int = 18) -> ToolCall:
    return ToolCall(call, "read_result", json.dumps({"result": result, "start": start, "length": length}))


def export(call: str, count: int = 1_000) -> ToolCall:
    return ToolCall(call, "export_rows", json.dumps({"count": count}))


def told(request: ModelRequest) -> list[str]:
    """Give what the model was told of its calls."""
    return [message.text for message in request.messages if isinstance(message, ToolMessage)]


async def talk(url: str, name: str, *answers: str | ToolCall | Sequence[ToolCall]) -> list[str]:
    model = ScriptedModel(answers)
    agent = Agent(name, model=model, tools=[export_rows, read_result()])
    async with Coordinator(url) as coordinator:
        run = await coordinator.start(agent, "go on")
        assert await run.result() == "done"
        names = [entry.name for entry in await run.journal() if entry.name]
    assert set(names) == {f"{name}.model", "export_rows"}
    return told(model.asked[-1])


@on_a_loop
async def test_a_cut_result_is_named_and_any_part_of_it_can_be_read(database_url: str) -> None:
    answers = export("a"), reading("b", "a", 90), [reading("c", "a", 8_982, 99), reading("d", "a")], "done"
    cut, *parts = await talk(database_url, "reads_on", *answers)
    assert cut == (
        f'{ROWS[:90]}\n[cut: 90 of 9000 characters are shown; read_result(result="a", start=90) gives more]'
    )
    assert parts == [
        "row 0010\nrow 0011\n\n[characters 90 to 107 of 9000]",
        "row 0998\nrow 0999\n\n[characters 8982 to 8999 of 9000]",
        "row 0000\nrow 0001\n\n[characters 0 to 17 of 9000]",
    ]


@on_a_loop
async def test_what_was_not_cut_has_no_name_and_what_is_not_there_is_told(sqlite_url: str) -> None:
    """A model's slips are told to it, and nothing is executed."""
    short, *slips = await talk(
        sqlite_url,
        "slips",
        export("a", 10),
        reading("b", "a"),
        export("c"),
        [reading("d", "z"), reading("e", "c", 9_000), reading("f", "c", -1), reading("g", "c", 0, 0)],
        ToolCall("h", "read_result", "{}"),
        "done",
    )
    assert short == ROWS[:90]
    assert slips[0] == "no result of this name was cut; those that were: none yet"
    assert slips[2] == "no result of this name was cut; those that were: c"
    assert slips[3:6] == ["c has the characters 0 to 8999; ask for some of these"] * 3
    assert "result" in slips[6]


@on_a_loop
async def test_without_the_tool_a_cut_promises_nothing(sqlite_url: str) -> None:
    model = ScriptedModel([export("a"), "done"])
    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(Agent("cuts_short", model=model, tools=[export_rows]), "go on")
        await run.result()
    assert told(model.asked[-1]) == [f"{ROWS[:90]}\n[cut: 90 of 9000 characters are shown]"]


@on_a_loop
async def test_a_part_is_bounded_and_is_not_cut_again(sqlite_url: str) -> None:
    model = ScriptedModel([export("a"), reading("b", "a", 0, 9_000), "done"])
    agent = Agent("bounded", model=model, tools=[export_rows, read_result(longest=27)])
    async with Coordinator(sqlite_url) as coordinator:
        await (await coordinator.start(agent, "go on")).result()
    assert told(model.asked[-1])[1] == f"{ROWS[:27]}\n[characters 0 to 26 of 9000]"


@on_a_loop
async def test_after_days_and_a_restart_it_can_still_be_read(database_url: str) -> None:
    """A3: the whole stands in the journal, and replay gives it back; the tool isn't called again."""
    clock = VirtualClock()
    nap = ToolCall("n", "sleep_until", '{"moment": "2030-01-09T00:00:00+00:00"}')
    model = ScriptedModel([export("a"), nap, reading("b", "a", 90), "done"], by="turn")
    agent = Agent("reads_later", model=model, tools=[export_rows, sleeping(), read_result()])
    async with Coordinator(database_url, clock=clock) as coordinator:
        run = await coordinator.start(agent, "go on")
        await coordinator.run_until_idle()
    clock.advance(timedelta(days=30))
    async with Coordinator(database_url, clock=clock) as coordinator:
        await coordinator.run_until_idle()
        assert await (await coordinator.get(run.id)).result() == "done"
    assert told(model.asked[-1])[-1].startswith("row 0010\n")
    assert isinstance(model.asked[-1].messages[0], UserMessage)


def test_a_bound_that_means_nothing_is_refused() -> None:
    with pytest.raises(DefinitionError, match="longest"):
        read_result(longest=0)
