"""An agent's run: asked, carried out, told, until there is a result; what it did can be undone."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

from amends.agents import (
    Agent,
    AgentFailed,
    ApprovalPolicy,
    Budget,
    BudgetExhausted,
    Finish,
    ModelAnswer,
    ModelDeclined,
    ModelMessage,
    OutputInvalid,
    Price,
    ResultRejected,
    ScriptedModel,
    ToolCall,
    Turn,
    UndoTo,
    Usage,
    agent_tool,
    ask_person,
    handoff,
    saga_tool,
    sleeping,
)
from amends.sagas import Coordinator, DefinitionError, Fatal, Retry, Status, Undo, saga
from tests.agents.agents_world import (
    WORLD,
    book,
    call,
    look,
    mail,
    notes,
    pay,
    result_of,
    results,
    valid,
)
from tests.sagas.running import AT_ONCE, Clock, Gate, ended, failure, on_a_loop
from tests.sagas.test_counts import counted


@pytest.fixture(autouse=True)
def _anew() -> Iterator[None]:
    WORLD.clear()
    yield
    WORLD.clear()


def agent(name: str, *answers: Any, **options: Any) -> tuple[Agent[Any], ScriptedModel]:
    """Make an agent whose model answers by a script."""
    model = ScriptedModel(answers, by=options.pop("by", "turn"))
    options.setdefault("tools", [look, book, mail])
    return Agent(f"agents.{name}", model=model, **options), model


class Trip(BaseModel):
    city: str
    nights: int


@on_a_loop
async def test_calls_are_carried_out_and_told_until_the_answer_comes(database_url: str) -> None:
    """A3: the answer is on record with its calls' intents; the transcript has every result."""
    made, model = agent(
        "trip",
        [call("look", what="Oslo"), call("agents_book", what="car")],
        call("mail", text="hi"),
        "All done.",
    )
    assert await result_of(database_url, made, "Oslo, please") == "All done."
    assert WORLD == ["book car", "mail hi"]
    assert [request.messages[0].text for request in model.asked] == ["Oslo, please"] * 3
    assert results(model) == [
        ("look", '{"what":"Oslo","price":30}', False),
        ("agents_book", "car is booked", False),
        ("mail", "null", False),
    ]
    assert all(valid(request.messages) for request in model.asked)


@on_a_loop
async def test_a_replayed_agent_asks_and_calls_nothing_again(database_url: str) -> None:
    """A3, S9: closed and opened while it waits for a person, as often as one likes."""
    made, model = agent("replayed", call("pay", amount=7), "paid", tools=[pay])
    for _ in range(3):
        async with Coordinator(database_url) as coordinator:
            run = await coordinator.start(made, "go", id="r")
            await coordinator.run_until_idle()
            assert await run.status() is Status.WAITING
    async with Coordinator(database_url) as coordinator:
        (asked,) = await coordinator.approvals()
        assert (asked.title, asked.details["arguments"]) == ("pay", {"amount": 7})
        await coordinator.decide(asked.id, approved=True, by="ann")
        assert await (await coordinator.get("r")).result(30) == "paid"
    assert WORLD == ["pay 7"]
    assert len(model.asked) == 2


@on_a_loop
async def test_a_turn_with_one_call_costs_two_commits_and_reads_none(sqlite_url: str) -> None:
    """Section 3: the answer rides with the intents, the outcome with the next answer or alone."""
    made, _ = agent("counted", *[call("agents_book", what=str(n)) for n in range(10)], "done")
    reads, _ = agent("reading", *[call("look", what=str(n)) for n in range(10)], "done")
    costs = []
    for each in (made, reads):
        async with Coordinator(sqlite_url) as coordinator:
            with counted() as count:
                await (await coordinator.start(each, "go")).result(30)
                costs.append(count.writing)
    assert costs[0] <= 22
    assert costs[1] <= 4


@on_a_loop
async def test_typed_output_is_asked_for_and_mended(database_url: str) -> None:
    """Section 6: what doesn't fit goes back to the model, with what is wrong."""
    made, model = agent(
        "typed", "Oslo!", '{"city": "Oslo"}', '```json\n{"city": "Oslo", "nights": 2}\n```', output_type=Trip
    )
    assert await result_of(database_url, made) == Trip(city="Oslo", nights=2)
    assert "Invalid JSON" in notes(model)[0]
    assert "nights: Field required" in notes(model)[1]
    assert model.asked[0].output is not None
    assert model.asked[0].output.name == "Trip"
    listed, _ = agent("listed", '{"result": [1, 2]}', output_type=list[int])
    assert await result_of(database_url, listed) == [1, 2]


@on_a_loop
async def test_output_that_never_fits_fails_the_agent_and_undoes_its_work(database_url: str) -> None:
    """A4: after so many repairs."""
    made, model = agent("misfits", call("agents_book", what="car"), *["no"] * 9, output_type=Trip, repairs=2)
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(made, "go")
        assert isinstance((await failure(run)).error, OutputInvalid)
        assert await run.status() is Status.COMPENSATED
    assert WORLD == ["book car", "unbook car"]
    assert len(model.asked) == 4


@on_a_loop
async def test_what_goes_wrong_with_a_call_is_told_to_the_model(database_url: str) -> None:
    """A1: unknown tools, arguments that don't fit, errors: none of them is the run's failure."""
    wrong = [
        call("steal", id="1"),
        ToolCall("2", "agents_book", "{"),
        call("agents_book", id="3", where="x"),
        call("agents_book", id="4", what="nothing"),
    ]
    made, model = agent("wrongs", wrong, "I give up")
    assert await result_of(database_url, made) == "I give up"
    told = results(model)
    assert [failed for _, _, failed in told] == [True] * 4
    assert told[0][1] == "there is no tool 'steal'; there are: look, agents_book, mail"
    assert "no JSON" in told[1][1]
    assert "where: Unexpected" in told[2][1]
    assert told[3][1] == "ValueError: sold out"
    assert WORLD == ["unbook nothing"]


@on_a_loop
async def test_repeated_and_empty_ids_get_their_own(database_url: str) -> None:
    """A8, A11: keys and results never rest on what a model or server calls them."""
    twice = [ToolCall("x", "agents_book", '{"what": "a"}'), ToolCall("x", "agents_book", '{"what": "b"}')]
    made, model = agent(
        "ids",
        twice,
        [ToolCall("x", "agents_book", '{"what": "c"}'), ToolCall("", "look", '{"what": "d"}')],
        "done",
    )

    class Lax(ScriptedModel):
        async def answer(self, request: Any) -> ModelAnswer:
            self.asked.append(request)
            place = sum(isinstance(message, ModelMessage) for message in request.messages)
            script: Any = self._answers
            said = script[place]
            message = ModelMessage(said) if isinstance(said, str) else ModelMessage("", tuple(said))
            return ModelAnswer(message, Finish.CALLS, Usage(), "lax")

    lax = Lax(model._answers)  # noqa: SLF001 - the same script, without its checks
    made.models = (lax,)
    assert await result_of(database_url, made) == "done"
    assert WORLD == ["book a", "book b", "book c"]
    assert all(valid(request.messages) for request in lax.asked)
    assert len(results(lax)) == 4


@pytest.mark.parametrize("how", ["refusal", "filtered", "fatal"])
@on_a_loop
async def test_a_model_that_declines_fails_the_agent_and_undoes_its_work(database_url: str, how: str) -> None:
    """A4: what was done before is undone; the reason is in the error."""
    last: Any = {
        "refusal": ModelMessage(refusal="I won't"),
        "filtered": ModelAnswer(ModelMessage("x"), Finish.FILTERED, Usage(), "m"),
        "fatal": Fatal("no quota left"),
    }[how]
    made, _ = agent("declined", call("agents_book", what="car"), last)
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(made, "go")
        error = (await failure(run)).error
        assert isinstance(error, Fatal if how == "fatal" else ModelDeclined)
        assert await run.status() is Status.COMPENSATED
    assert WORLD == ["book car", "unbook car"]


@on_a_loop
async def test_an_answer_that_is_cut_off_carries_nothing_out(database_url: str) -> None:
    """A11: half a call is none; the model is told, and its transcript stays valid."""
    cut = ModelAnswer(ModelMessage("so", (call("agents_book", what="half"),)), Finish.LENGTH, Usage(), "m")
    made, model = agent("cut", cut, "", "short", by="order")
    assert await result_of(database_url, made) == "short"
    assert WORLD == []
    assert notes(model)[0].startswith("Your answer was cut off")
    assert notes(model)[1].startswith("You have answered nothing")
    assert all(valid(request.messages) for request in model.asked)


@on_a_loop
async def test_the_next_model_is_asked_where_one_fails_for_good(database_url: str) -> None:
    """Section 6: each by the agent's own retry policy; replay goes the same way."""
    bad = ScriptedModel([Fatal("away")] * 3)
    good = ScriptedModel(["done"])
    made = Agent("agents.fallback", model=[bad, good], retry=AT_ONCE)
    assert await result_of(database_url, made) == "done"
    assert (len(bad.asked), len(good.asked)) == (1, 1)


@pytest.mark.parametrize("decision", ["approved", "edited", "rejected", "expired"])
@on_a_loop
async def test_a_gated_call_does_what_people_decide(database_url: str, decision: str) -> None:
    """A7, A10: never without a decision, with the arguments as approved; the model is told."""
    policy = ApprovalPolicy(
        when=lambda amount: amount > 10,
        title="pay {amount}",
        approvers=["ann"],
        timeout=dt.timedelta(hours=1),
    )
    from amends.agents import tool  # noqa: PLC0415 - a tool of this test's own

    @tool(name=f"gated_{decision}", approval=policy, effect="irreversible")
    def gated(amount: int) -> str:
        WORLD.append(f"gated {amount}")
        return "ok"

    made, model = agent(
        f"gated-{decision}",
        [call(gated.name, id="1", amount=50), call(gated.name, id="2", amount=5)],
        "done",
        tools=[gated],
    )
    clock = Clock()
    async with Coordinator(database_url, clock=clock) as coordinator:
        run = await coordinator.start(made, "go")
        await coordinator.run_until_idle()
        (asked,) = await coordinator.approvals()
        assert (asked.title, asked.values) == ("pay 50", {"amount": 50})
        assert asked.details["effect"] == "irreversible"
        assert WORLD == ["gated 5"]
        if decision == "expired":
            clock.move(dt.timedelta(hours=2))
        else:
            await coordinator.decide(
                asked.id,
                approved=decision != "rejected",
                by="ann",
                reason="too much" if decision == "rejected" else None,
                values={"amount": 20} if decision == "edited" else None,
            )
        await coordinator.run_until_idle()
        assert await run.result(30) == "done"
    first = results(model)[0]
    assert {
        "approved": ["gated 5", "gated 50"],
        "edited": ["gated 5", "gated 20"],
        "rejected": ["gated 5"],
        "expired": ["gated 5"],
    }[decision] == WORLD
    if decision == "rejected":
        assert first == (gated.name, "not called: ann has rejected it: too much", True)
    if decision == "expired":
        assert first == (gated.name, "not called: nobody has approved it in time", True)


@pytest.mark.parametrize(("sticky", "asked"), [("no", 3), ("call", 2), ("tool", 1)])
@on_a_loop
async def test_one_approval_holds_as_far_as_the_policy_says(sqlite_url: str, sticky: str, asked: int) -> None:
    """A10: for the very same call, or for the tool; never for anything else."""
    from amends.agents import tool  # noqa: PLC0415 - a tool of this test's own

    @tool(name=f"sticky_{sticky}", approval=ApprovalPolicy(sticky=sticky), effect="plain")
    def does(x: int) -> int:
        return x

    made, _ = agent(
        f"sticky-{sticky}",
        call(does.name, id="1", x=1),
        call(does.name, id="2", x=1),
        call(does.name, id="3", x=2),
        "done",
        tools=[does],
    )
    count = 0
    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(made, "go")
        await coordinator.run_until_idle()
        while waiting := await coordinator.approvals():
            count += 1
            await coordinator.decide(waiting[0].id, approved=True, by="ann")
            await coordinator.run_until_idle()
        assert await run.result(30) == "done"
    assert count == asked


@on_a_loop
async def test_a_rejected_result_undoes_the_agents_work_in_order(database_url: str) -> None:
    """A4, S7: the last first; what can't be undone is said."""
    made, _ = agent(
        "rejected",
        call("agents_book", what="car"),
        [call("agents_book", id="2", what="hotel"), call("mail", text="hi")],
        "done",
        review=ApprovalPolicy(approvers=["ann"]),
    )
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(made, "go")
        await coordinator.run_until_idle()
        (asked,) = await coordinator.approvals()
        assert asked.details["undone if rejected"] == [
            'agents_book({"what":"hotel"})',
            'agents_book({"what":"car"})',
        ]
        assert asked.details["stays"] == ['mail({"text":"hi"})']
        await coordinator.decide(asked.id, approved=False, by="ann", reason="too dear")
        error = (await failure(run)).error
        assert isinstance(error, ResultRejected)
        assert "ann has rejected the result: too dear" in str(error)
        assert await run.status() is Status.PARTIALLY_COMPENSATED
        assert [what.step for what in await run.left_standing()] == ["mail"]
    assert WORLD[3:] == ["unbook hotel", "unbook car"]


@on_a_loop
async def test_work_after_a_turn_is_undone_and_the_agent_goes_on(database_url: str) -> None:
    """A5, A9: told what was undone and what couldn't be; never undone twice."""
    made, model = agent(
        "undone",
        call("agents_book", what="car"),
        [call("agents_book", id="2", what="hotel"), call("mail", text="hi")],
        "first",
        call("agents_book", id="3", what="hostel"),
        "second",
        review=ApprovalPolicy(),
    )
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(made, "go", id="r")
        await coordinator.run_until_idle()
        await coordinator.signal("r", "amends.undo", UndoTo(turn=1, reason="no hotels"))
        await coordinator.run_until_idle()
        assert WORLD[2:] == ["mail hi", "unbook hotel", "book hostel"]
        (asked,) = await coordinator.approvals()
        assert asked.details["result"] == "second"
        await coordinator.decide(asked.id, approved=False, by="ann")
        assert await ended(run) is Status.PARTIALLY_COMPENSATED
    assert sorted(WORLD[4:]) == ["book hostel", "unbook car", "unbook hostel"]
    (note,) = notes(model)
    assert "What you did after turn 1 has been undone by a person." in note
    assert "Their reason: no hotels" in note
    assert 'Undone: agents_book({"what":"hotel"}).' in note
    assert 'still stands: mail({"text":"hi"})' in note
    assert WORLD.count("unbook hotel") == 1


@pytest.mark.parametrize("bad", [{"turn": -1}, {}, "x"])
@on_a_loop
async def test_an_undo_that_means_nothing_is_refused_where_it_is_sent(sqlite_url: str, bad: Any) -> None:
    """Errors at the boundary; the agent goes on waiting."""
    from amends.sagas import InputInvalid  # noqa: PLC0415 - only here

    made, _ = agent("unsent", "done", review=ApprovalPolicy())
    async with Coordinator(sqlite_url) as coordinator:
        await coordinator.start(made, "go", id="r")
        await coordinator.run_until_idle()
        with pytest.raises(InputInvalid):
            await coordinator.signal("r", "amends.undo", bad)


@on_a_loop
async def test_an_agent_in_a_saga_is_a_scope_of_it(database_url: str) -> None:
    """A4: its failure undoes exactly its own work; the saga may go on."""
    fails, _ = agent("inner", call("agents_book", what="car"), ModelMessage(refusal="no"))

    @saga(name="agents.outer")
    async def outer() -> str:
        await book("table")
        try:
            return str(await fails("go"))
        except AgentFailed as problem:
            return f"without: {problem}"

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(outer)
        assert await run.result(30) == "without: agent 'agents.inner': the model refuses: no"
        assert await run.status() is Status.COMPLETED
    assert WORLD == ["book table", "book car", "unbook car"]


@on_a_loop
async def test_a_sub_agent_works_within_the_budget_above_and_is_undone_alone(database_url: str) -> None:
    """A4, A12: its failure is told to the model above, its turns count there."""
    inner, below = agent("below", call("agents_book", what="hotel"), ModelMessage(refusal="no more"))
    made, model = agent(
        "above",
        call("agents_book", what="car"),
        call("helper", task="a hotel"),
        "enough",
        tools=[book, agent_tool(inner, name="helper")],
        budget=Budget(turns=5),
    )
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(made, "go")
        assert await run.result(30) == "enough"
    assert WORLD == ["book car", "book hotel", "unbook hotel"]
    assert results(model)[1][1].startswith("ModelDeclined: agent 'agents.below': the model refuses")
    assert below.asked[0].messages[0].text == "a hotel"
    tight, _ = agent(
        "tight",
        call("helper", task="x"),
        "never",
        tools=[agent_tool(inner, name="helper")],
        budget=Budget(turns=2),
    )
    async with Coordinator(database_url) as coordinator:
        assert isinstance((await failure(await coordinator.start(tight, "go"))).error, BudgetExhausted)


@on_a_loop
async def test_a_conversation_is_handed_over_with_all_that_was_said(database_url: str) -> None:
    """A3, A4: the other goes on in the same transcript; failing there undoes what was done before, too."""
    other, after = agent(
        "other", call("agents_book", id="2", what="hotel"), ModelMessage(refusal="no"), by="order"
    )
    made, before = agent(
        "first", [call("agents_book", what="car"), call("over")], tools=[book, handoff(other, name="over")]
    )
    typed, _ = agent("typed-other", "{}", output_type=Trip)
    wrong, model = agent("wrong-handoff", call("over"), "mine", tools=[handoff(typed, name="over")])
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(made, "go")
        assert isinstance((await failure(run)).error, ModelDeclined)
        assert await run.status() is Status.COMPENSATED
        assert await (await coordinator.start(wrong, "go")).result(30) == "mine"
    assert WORLD == ["book car", "book hotel", "unbook hotel", "unbook car"]
    assert (len(before.asked), len(after.asked)) == (1, 2)
    assert results(after)[1] == ("over", "agents.other has the conversation from here on", False)
    assert "another kind of result" in results(model)[0][1]


@pytest.mark.parametrize(
    ("budget", "words", "asked"),
    [
        (Budget(turns=3), "3 turns", 3),
        (Budget(tool_calls=2, turns=9), "9 turns", 9),
        (Budget(input_tokens=25), "25 input tokens", 3),
        (Budget(output_tokens=5), "5 output tokens", 1),
        (Budget(cost=Decimal("0.05")), "0.05 US dollars", 3),
    ],
)
@on_a_loop
async def test_a_budget_is_checked_before_each_call(
    sqlite_url: str, budget: Budget, words: str, asked: int
) -> None:
    """A12: what is used up is counted from the journal, over restarts too."""
    calls = [call("agents_book", id=f"c{n}", what=str(n)) for n in range(12)]
    turns = [ModelAnswer(ModelMessage("", (each,)), Finish.CALLS, Usage(10, 5), "m") for each in calls]
    prices = {"m": Price(Decimal(1_000), Decimal(2_000)), "scripted": Price(Decimal(1), Decimal(1))}
    made, model = agent(f"budget{words}", *turns, budget=budget, prices=prices)
    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(made, "go")
        error = (await failure(run)).error
        assert isinstance(error, BudgetExhausted)
        assert words in str(error)
        assert await run.status() is Status.COMPENSATED
    assert len(model.asked) == asked
    if budget.tool_calls:
        assert sum(line.startswith("book") for line in WORLD) == 2


@on_a_loop
async def test_time_is_a_budget_that_pauses_use_up(sqlite_url: str) -> None:
    """A12: wall time, by the run's own clock."""
    pause = call("sleep_until", moment="2023-11-16T00:00:00+00:00")
    hour = Budget(time=dt.timedelta(hours=1))
    made, model = agent("timed", pause, "done", tools=[sleeping()], budget=hour)
    clock = Clock()
    async with Coordinator(sqlite_url, clock=clock) as coordinator:
        run = await coordinator.start(made, "go")
        await coordinator.run_until_idle()
        assert await run.status() is Status.WAITING
        clock.move(dt.timedelta(days=3))
        await coordinator.run_until_idle()
        assert isinstance((await failure(run)).error, BudgetExhausted)
    assert len(model.asked) == 1


@on_a_loop
async def test_a_used_up_budget_stops_or_asks_where_that_is_chosen(sqlite_url: str) -> None:
    """A12: with the text so far, or for as much again."""
    said = ModelAnswer(ModelMessage("so far", (call("look", what="x"),)), Finish.CALLS, Usage(), "m")
    stops, _ = agent("stops", said, "more", budget=Budget(turns=1, exhausted="stop"))
    assert await result_of(sqlite_url, stops) == "so far"
    asks, _ = agent("asks", said, "more", budget=Budget(turns=1, exhausted="ask"))
    async with Coordinator(sqlite_url) as coordinator:
        for approved in (True, False):
            run = await coordinator.start(asks, "go")
            await coordinator.run_until_idle()
            (waiting,) = await coordinator.approvals()
            assert (
                waiting.title == "Agent agents.asks: the budget of 1 turns is used up; give it as much again?"
            )
            await coordinator.decide(waiting.id, approved=approved, by="ann")
            assert await ended(run) is (Status.COMPLETED if approved else Status.FAILED)


@on_a_loop
async def test_turns_are_prepared_and_stopped_by_pure_functions(sqlite_url: str) -> None:
    """Section 6: fewer tools, other instructions; at last none, so that the answer comes."""

    def prepare(turn: Turn) -> Turn | None:
        return turn.only(["look"]) if turn.number == 1 else None

    made, model = agent(
        "prepared",
        call("look", what="x"),
        call("look", id="2", what="y"),
        "done",
        instructions=lambda first: f"about {first.text}",
        prepare_turn=prepare,
        stop_when=lambda turn: turn.number == 3,
        options={"temperature": 0},
    )
    assert await result_of(sqlite_url, made, "Oslo") == "done"
    assert [[spec.name for spec in request.tools] for request in model.asked] == [
        ["look"],
        ["look", "agents_book", "mail"],
        [],
    ]
    assert {request.instructions for request in model.asked} == {"about Oslo"}
    assert model.asked[0].options == {"temperature": 0}


@dataclass
class Address:
    street: str


@on_a_loop
async def test_people_are_asked_sagas_are_called_and_days_pass(database_url: str) -> None:
    """Section 6: tools of the body wait as the run does, as a row."""

    @saga(name="agents.child")
    async def deliver(street: str) -> str:
        await book(street)
        return f"to {street}"

    made, model = agent(
        "waits",
        call("ask_person", question="Where to?"),
        call("sleep_until", moment="2023-11-20T00:00:00+00:00"),
        call("deliver", street="Elm St"),
        "done",
        tools=[ask_person(Address), sleeping(), saga_tool(deliver, description="Deliver.")],
        review=ApprovalPolicy(),
    )
    clock = Clock()
    async with Coordinator(database_url, clock=clock) as coordinator:
        run = await coordinator.start(made, "go", id="r")
        await coordinator.run_until_idle()
        (asked,) = await coordinator.approvals()
        assert asked.title == "Where to?"
        await coordinator.decide(asked.id, approved=True, by="ann", values={"street": "Elm St"})
        await coordinator.run_until_idle()
        clock.move(dt.timedelta(days=9))
        await coordinator.run_until_idle()
        assert [child.saga for child in await coordinator.list(parent="r")] == ["agents.child"]
        told = [text for _, text, _ in results(model)]
        assert told[0] == '{"approved":true,"by":"ann","answer":{"street":"Elm St"}}'
        assert told[2] == "to Elm St"
        (asked,) = await coordinator.approvals()
        await coordinator.decide(asked.id, approved=False, by="ann")
        assert await ended(run) is Status.COMPENSATED
    assert WORLD == ["book Elm St", "unbook Elm St"]


@on_a_loop
async def test_parallel_calls_are_ended_before_they_are_undone(sqlite_url: str) -> None:
    """A6: a cancel finds one call landed and one under way: that one is waited for, then both are undone."""
    from amends.agents import tool  # noqa: PLC0415 - a tool of this test's own

    gate = Gate()

    @tool(name="slow")
    async def slow(what: str) -> str:
        await gate.wait()
        WORLD.append(f"slow {what}")
        return what

    @slow.compensation(name="agents.unslow")
    async def unslow(undo: Undo[str], what: str) -> None:
        WORLD.append(f"unslow {what}")

    made, model = agent(
        "siblings", [call("agents_book", what="a"), call("slow", what="b")], "x", tools=[book, slow]
    )
    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(made, "go")
        await gate.reached.wait()
        await run.cancel()
        while await run.status() is not Status.COMPENSATING:  # noqa: ASYNC110 - the coordinator tells nobody
            await asyncio.sleep(0.01)
        assert "unslow b" not in WORLD
        gate.opened.set()
        assert await ended(run) is Status.COMPENSATED
    assert sorted(WORLD) == ["book a", "slow b", "unbook a", "unslow b"]
    assert WORLD.index("slow b") < WORLD.index("unslow b")
    assert len(model.asked) == 1


@on_a_loop
async def test_an_unknown_outcome_is_settled_before_the_model_is_told(sqlite_url: str) -> None:
    """A1, A2: nobody knows whether it happened: a person says so, and only then the agent goes on."""
    from amends.agents import tool  # noqa: PLC0415 - a tool of this test's own

    @tool(name="unclear", effect="irreversible", retry=Retry(attempts=1))
    def unclear() -> None:
        raise ConnectionError("no answer")

    made, model = agent("unclear", call("unclear"), "done", tools=[unclear])
    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(made, "go", id="r")
        await coordinator.run_until_idle()
        assert await run.status() is Status.PARKED
        assert len(model.asked) == 1
        await coordinator.operator("ann").resolve("r", "unclear", landed=False, evidence="looked it up")
        assert await run.result(30) == "done"
    assert results(model)[0][2]


def test_what_can_be_no_agent_is_refused_where_it_is_made() -> None:
    """Errors at the boundary say what to give instead."""
    model = ScriptedModel(["x"])
    with pytest.raises(DefinitionError, match="nobody knows what 'scripted' costs"):
        Agent("agents.bad", model=model, budget=Budget(cost=Decimal(1)))
    with pytest.raises(DefinitionError, match='"stop" ends with the model'):
        Agent("agents.bad", model=model, output_type=Trip, budget=Budget(turns=1, exhausted="stop"))
    with pytest.raises(DefinitionError, match="is no model"):
        Agent("agents.bad", model="gpt-5")  # type: ignore[arg-type]  # on purpose
    with pytest.raises(DefinitionError, match="names no model"):
        Agent("agents.bad", model=[])
    with pytest.raises(DefinitionError, match="turns=0 must be at least 1"):
        Budget(turns=0)
    with pytest.raises(DefinitionError, match="is a Decimal above 0"):
        Budget(cost=1.5)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(DefinitionError, match="exhausted='no' is one of"):
        Budget(exhausted="no")
    assert asyncio.iscoroutinefunction(Agent("agents.good", model=model).fn)
