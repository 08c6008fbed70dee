"""What is said to be undone is undone, and what is said to stand stands: to the model, and to people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from amends.agents import (
    Agent,
    ApprovalPolicy,
    Budget,
    BudgetExhausted,
    ModelMessage,
    ScriptedModel,
    ToolCall,
    UndoTo,
    agent_tool,
    tool,
)
from amends.sagas import Coordinator, NoEffect, OutsideRun, Run, Status
from tests.agents.agents_world import WORLD, book, call, mail, notes
from tests.sagas.running import failure, on_a_loop


@pytest.fixture(autouse=True)
def _anew() -> Iterator[None]:
    WORLD.clear()
    yield
    WORLD.clear()


@tool(name="settle", effect="pivot")
async def settle(amount: int) -> str:
    """Pay for good."""
    WORLD.append(f"settle {amount}")
    return "paid"


@tool(name="write", effect="irreversible")
async def write(to: str) -> str:
    """Send a letter."""
    raise NoEffect(f"{to} has no address")


def reviewed(name: str, *answers: Any, tools: list[Any]) -> tuple[Agent[Any], ScriptedModel]:
    model = ScriptedModel(answers, by="turn")
    return Agent(f"stands.{name}", model=model, tools=tools, review=ApprovalPolicy()), model


async def details_of(coordinator: Coordinator, run: Run[Any]) -> dict[str, Any]:
    (asked,) = [asked for asked in await coordinator.approvals() if asked.run_id == run.id]
    return dict(asked.details)


async def undone(coordinator: Coordinator, agent: Agent[Any], turn: int = 0) -> Run[Any]:
    """Run an agent to its review, and have its work undone."""
    run = await coordinator.start(agent, "go")
    await coordinator.run_until_idle()
    await coordinator.signal(run.id, "amends.undo", UndoTo(turn=turn))
    await coordinator.run_until_idle()
    return run


@on_a_loop
async def test_what_was_done_before_a_point_of_no_return_is_not_undone(database_url: str) -> None:
    """S14, A9: what has been paid for stays booked; the model and the approver are told so."""
    calls = [call("agents_book", what="a"), call("settle", amount=3), call("agents_book", id="c2", what="b")]
    made, model = reviewed("pivot", *calls, "done", "once more", tools=[book, settle])
    async with Coordinator(database_url) as coordinator:
        run = await undone(coordinator, made)
        assert WORLD == ["book a", "settle 3", "book b", "unbook b"]
        stands = ['settle({"amount":3})', 'agents_book({"what":"a"})']
        (note,) = notes(model)
        assert note.startswith("What you did after turn 2 has been undone")
        assert 'Undone: agents_book({"what":"b"}).' in note
        assert f"still stands: {'; '.join(stands)}." in note
        details = await details_of(coordinator, run)
        assert (details["undone if rejected"], details["stays"]) == ([], stands)
        (asked,) = await coordinator.approvals()
        await coordinator.decide(asked.id, approved=False, by="ann")
        await coordinator.run_until_idle()
        assert await run.status() is Status.PARKED
    assert WORLD[4:] == []


@on_a_loop
async def test_a_call_that_did_nothing_is_not_said_to_stand(sqlite_url: str) -> None:
    """A9: evidence that nothing happened is believed."""
    made, model = reviewed("nothing", call("write", to="ann"), "done", "once more", tools=[write])
    async with Coordinator(sqlite_url) as coordinator:
        run = await undone(coordinator, made)
        assert "still stands" not in notes(model)[0]
        assert (await details_of(coordinator, run))["stays"] == []


@pytest.mark.parametrize("ends", ["with a result", "with an error"])
@on_a_loop
async def test_what_stays_of_a_sub_agents_work_is_told_above(sqlite_url: str, ends: str) -> None:
    """A5, A9: its bookings are undone, once; its mail isn't, and the model above hears of it."""
    last = "fine" if ends == "with a result" else ModelMessage(refusal="no more")
    below = ScriptedModel([call("mail", text="hi"), call("agents_book", what="x"), last], by="turn")
    helper = Agent(f"stands.below {ends}", model=below, tools=[mail, book])
    task = call("helper", task="a room")
    made, model = reviewed(ends, task, "done", "again", tools=[agent_tool(helper, name="helper")])
    async with Coordinator(sqlite_url) as coordinator:
        await undone(coordinator, made)
    assert WORLD == ["mail hi", "book x", "unbook x"]
    (note,) = notes(model)
    whole = 'helper({"task":"a room"})' if ends == "with a result" else "nothing had to be"
    assert f"Undone: {whole}." in note
    assert 'This can\'t be undone and still stands: mail({"text":"hi"}).' in note


@on_a_loop
async def test_an_agent_outside_a_run_says_how_it_is_started() -> None:
    made, _ = reviewed("outside", "never", tools=[])
    with pytest.raises(OutsideRun, match=r"'stands\.outside' was called outside a run; start it with"):
        await made("go")


@on_a_loop
async def test_who_gave_no_more_is_named(sqlite_url: str) -> None:
    """A12: the error says whose budget, and who was asked."""
    model = ScriptedModel([call("agents_book", what="a"), "never"], by="turn")
    made = Agent("stands.more", model=model, tools=[book], budget=Budget(turns=1, exhausted="ask"))
    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(made, "go")
        await coordinator.run_until_idle()
        (asked,) = await coordinator.approvals()
        await coordinator.decide(asked.id, approved=False, by="ann")
        error = (await failure(run)).error
        assert isinstance(error, BudgetExhausted)
        assert "the budget of 1 turns is used up, and ann gave no more" in str(error)
    assert WORLD == ["book a", "unbook a"]


@on_a_loop
async def test_an_id_that_a_model_has_guessed_is_given_to_no_other_call(sqlite_url: str) -> None:
    """A11: the id that we would make is taken by the model's own call."""
    guessed = [call("agents_book", id="call_1_1", what="a"), ToolCall("", "agents_book", '{"what": "b"}')]
    model = ScriptedModel([guessed, "done"], by="turn")
    made = Agent("stands.guessed", model=model, tools=[book])
    async with Coordinator(sqlite_url) as coordinator:
        assert await (await coordinator.start(made, "go")).result(30) == "done"
    assert sorted(WORLD) == ["book a", "book b"]
