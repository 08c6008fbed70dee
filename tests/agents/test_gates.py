"""What an agent never gets round: its review, the tools that it was asked with, a budget of dollars."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from amends.agents import (
    Agent,
    AgentFailed,
    ApprovalPolicy,
    Budget,
    BudgetExhausted,
    Finish,
    ModelAnswer,
    ModelMessage,
    Price,
    ScriptedModel,
    UndoTo,
    Usage,
    agent_tool,
    handoff,
)
from amends.sagas import Coordinator, Status
from tests.agents.agents_world import WORLD, book, call, look, result_of, results
from tests.sagas.running import ended, failure, on_a_loop

PRICE = Price(Decimal(1), Decimal(1))
CENTS = Budget(cost=Decimal("0.50"))


@pytest.fixture(autouse=True)
def _anew() -> Iterator[None]:
    WORLD.clear()
    yield
    WORLD.clear()


def dear(model: str) -> ModelAnswer:
    """Give an answer that costs two dollars, from a server that names its model so."""
    message = ModelMessage("", (call("look", what="x"),))
    return ModelAnswer(message, Finish.CALLS, Usage(1_000_000, 1_000_000), model)


@on_a_loop
async def test_a_budget_that_stops_an_agent_does_not_spare_it_the_review(database_url: str) -> None:
    """A4, A12: what it says at the end is accepted, rejected or undone as any other result."""
    said = ModelMessage("so far", (call("agents_book", what="car"),))
    answer = ModelAnswer(said, Finish.CALLS, Usage(), "m")
    made = Agent(
        "gates.stopped",
        model=ScriptedModel([answer], by="turn"),
        tools=[book],
        budget=Budget(turns=1, exhausted="stop"),
        review=ApprovalPolicy(),
    )
    async with Coordinator(database_url) as coordinator:
        accepted = await coordinator.start(made, "go")
        rejected = await coordinator.start(made, "go")
        await coordinator.run_until_idle()
        assert await accepted.status() is Status.WAITING
        await coordinator.signal(rejected.id, "amends.undo", UndoTo(turn=0))
        await coordinator.run_until_idle()
        assert WORLD == ["book car", "book car", "unbook car"]
        for asked in await coordinator.approvals():
            assert asked.details["result"] == "so far"
            await coordinator.decide(asked.id, approved=asked.run_id == accepted.id, by="ann")
        assert await accepted.result(30) == "so far"
        assert await ended(rejected) is Status.COMPENSATED
    assert WORLD.count("unbook car") == 1


@on_a_loop
async def test_calls_beside_a_handoff_are_those_of_the_agent_that_made_them(database_url: str) -> None:
    """Section 6: the other has the conversation from the next turn on, not its tools a call earlier."""
    after = ScriptedModel(["done"], by="order")
    other = Agent("gates-other", model=after, tools=[book])
    calls = [call("over"), call("look", what="x"), call("agents_book", what="car")]
    first = Agent(
        "gates.first",
        model=ScriptedModel([calls], by="order"),
        tools=[handoff(other, name="over"), look],
    )
    assert await result_of(database_url, first) == "done"
    told = {name: (text, failed) for name, text, failed in results(after)}
    assert told["look"] == ('{"what":"x","price":30}', False)
    assert "there is no tool 'agents_book'" in told["agents_book"][0]
    assert WORLD == []


@on_a_loop
async def test_a_server_that_calls_its_model_otherwise_costs_no_less(sqlite_url: str) -> None:
    """A12: the price of the model that was asked counts where nobody knows the one that is said to answer."""
    model = ScriptedModel([dear("served-as-else")] * 3, by="turn")
    made = Agent("gates.alias", model=model, tools=[look], budget=CENTS, prices={"scripted": PRICE})
    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(made, "go")
        assert isinstance((await failure(run)).error, BudgetExhausted)
    assert len(model.asked) == 1


@pytest.mark.parametrize("way", ["a tool", "a handoff"])
@on_a_loop
async def test_a_model_of_unknown_price_is_not_asked_within_a_budget_of_dollars(
    sqlite_url: str, way: str
) -> None:
    """A12: not by a sub-agent, and not by one that the conversation was handed to."""
    unknown = ScriptedModel([dear("nobody-knows")] * 9, by="turn", name="nobody-knows")
    below = Agent(f"gates-below-{way[2:]}", model=unknown, tools=[look])
    given = agent_tool(below, name="below") if way == "a tool" else handoff(below, name="below")
    arguments: dict[str, Any] = {"task": "t"} if way == "a tool" else {}
    model = ScriptedModel([call("below", **arguments), "done"], by="turn")
    made = Agent(
        f"gates.above-{way[2:]}", model=model, tools=[given], budget=CENTS, prices={"scripted": PRICE}
    )
    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(made, "go")
        if way == "a tool":
            assert await run.result(30) == "done"
            assert "nobody knows what 'nobody-knows' costs" in results(model)[0][1]
        else:
            error = (await failure(run)).error
            assert isinstance(error, AgentFailed)
            assert "nobody knows what 'nobody-knows' costs" in str(error)
    assert unknown.asked == []


@on_a_loop
async def test_a_handed_over_agents_own_prices_count_in_the_budget(sqlite_url: str) -> None:
    """A12: the budget is the first agent's, and what the other costs the other says."""
    other = ScriptedModel([dear("dear")] * 9, by="turn", name="dear")
    below = Agent("gates-priced", model=other, tools=[look], prices={"dear": PRICE})
    model = ScriptedModel([call("over")], by="turn")
    tools = [handoff(below, name="over")]
    made = Agent("gates.prices", model=model, tools=tools, budget=CENTS, prices={"scripted": PRICE})
    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(made, "go")
        assert isinstance((await failure(run)).error, BudgetExhausted)
    assert len(other.asked) == 1
