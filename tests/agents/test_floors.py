"""Replay floors of long conversations: nothing is different but how much is replayed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from pydantic import TypeAdapter

from amends.agents import (
    Agent,
    ApprovalPolicy,
    Budget,
    Exhausted,
    ModelRequest,
    Price,
    ScriptedModel,
    ToolCall,
    UndoTo,
    Usage,
    floors,
    handoff,
    read_result,
    sleeping,
    tool,
    transcript,
)
from amends.sagas import Coordinator, Run, RunFailed, Status, Undo
from amends.sagas.journal import Kind
from amends.sagas.testing import VirtualClock
from tests.sagas.running import on_a_loop

REQUEST: TypeAdapter[ModelRequest] = TypeAdapter(ModelRequest)
NEVER = 1 << 60
WORLD: Counter[str] = Counter()
CALLS: list[str] = []


@tool
async def book_floor(name: str) -> str:
    WORLD[name] += 1
    CALLS.append(name)
    return name


@book_floor.compensation
async def unbook_floor(undo: Undo[str], name: str) -> None:
    WORLD[name] -= 1


@tool(effect="read", limit=20)
async def long_list() -> str:
    return "x" * 500


@tool(effect="irreversible", approval=ApprovalPolicy(sticky="tool"))
async def send_floor(name: str) -> str:
    WORLD[name] += 1
    return name


@contextmanager
def floors_from(first: int) -> Iterator[None]:
    """Have the first floor written after so many turns."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(floors, "FIRST", first)
        WORLD.clear()
        CALLS.clear()
        yield


def booking(turn: int) -> ToolCall:
    return ToolCall(f"c{turn}", "book_floor", json.dumps({"name": f"room-{turn}"}))


def napping(turn: int) -> ToolCall:
    return ToolCall(
        f"n{turn}", "sleep_until", json.dumps({"moment": f"2030-02-{1 + turn % 27:02}T00:00:00+00:00"})
    )


def working(count: int) -> list[Any]:
    """Give a script of so many turns: bookings, naps, long lists that are read on in."""
    script: list[Any] = []
    for turn in range(1, count):
        match turn % 5:
            case 0:
                script.append(napping(turn))
            case 1:
                script.append(ToolCall("", "long_list", "{}"))
            case 2:
                result = f"call_{turn - 1}_0"
                script.append(
                    ToolCall(f"r{turn}", "read_result", json.dumps({"result": result, "start": 20}))
                )
            case _:
                script.append([booking(turn), ToolCall(f"b{turn}", "book_floor", '{"name": "again"}')])
    return [*script, "done"]


def worker(name: str, model: ScriptedModel, **options: Any) -> Agent[str]:
    return Agent(
        name, model=model, tools=[book_floor, long_list, send_floor, sleeping(), read_result()], **options
    )


async def worked(url: str, agent: Agent[str], seed: int, *, name: str) -> Run[str]:
    """Run an agent to its end, in coordinators that are left, days apart."""
    clock, random = VirtualClock(), Random(seed)  # noqa: S311 - it must be the same again
    async with Coordinator(url, clock=clock) as coordinator:
        run = await coordinator.start(agent, "go on", id=name)
        await coordinator.run_until_idle()
    while True:
        clock.advance(timedelta(days=random.randint(1, 9)))
        async with Coordinator(url, clock=clock) as coordinator:
            await coordinator.run_until_idle()
            if await (await coordinator.get(run.id)).status() == Status.COMPLETED:
                return run


async def kinds(url: str, run: str) -> Counter[Kind]:
    async with Coordinator(url, work=False) as coordinator:
        return Counter(entry.kind for entry in await (await coordinator.get(run)).journal())


@on_a_loop
async def test_with_floors_and_without_a_model_is_asked_the_same(database_url: str) -> None:
    """A3, A8, A11, A12: byte for byte, what was booked stands once; a floor when the turns have doubled."""
    told = []
    for first in (NEVER, 2, 3):
        with floors_from(first):
            model = ScriptedModel(working(40), by="turn", name="same")
            agent = worker("floored", model, budget=Budget(turns=100))
            run = await worked(database_url, agent, 7, name=f"floored-{first}")
            told.append([REQUEST.dump_json(request) for request in model.asked])
            assert set(WORLD.values()) == {1, 16}
            assert (await kinds(database_url, run.id))[Kind.FLOOR] == {NEVER: 0, 2: 5, 3: 4}[first]
    assert told[1] == told[0]
    assert told[2] == told[0]


@on_a_loop
async def test_waking_replays_from_the_last_floor(sqlite_url: str) -> None:
    """Half of the turns at most are replayed: the others' answers aren't looked at any more."""
    with floors_from(4):
        script: list[Any] = [*(booking(turn) for turn in range(1, 17)), napping(3), "done"]
        model = ScriptedModel(script, by="turn")
        agent = worker("half_replayed", model)
        clock = VirtualClock()
        prepared: list[int] = []
        agent.prepare_turn = lambda turn: prepared.append(turn.number)
        async with Coordinator(sqlite_url, clock=clock) as coordinator:
            await coordinator.start(agent, "go on")
            await coordinator.run_until_idle()
        assert prepared == list(range(1, 18))
        prepared.clear()
        clock.advance(timedelta(days=60))
        async with Coordinator(sqlite_url, clock=clock) as coordinator:
            await coordinator.run_until_idle()
        assert prepared == [17, 18]


@on_a_loop
async def test_what_was_done_before_a_floor_can_be_undone(database_url: str) -> None:
    """A4, A5, A9, S20: to a turn before it, and as a whole; what was undone isn't undone again."""
    with floors_from(2):
        script: list[Any] = [
            *(booking(turn) for turn in range(1, 7)),
            napping(3),
            booking(8),
            napping(9),
            "done",
        ]
        model = ScriptedModel(script, by="order")
        agent, clock = worker("undone_below", model, review=ApprovalPolicy()), VirtualClock()
        async with Coordinator(database_url, clock=clock) as coordinator:
            run = await coordinator.start(agent, "go on")
            await coordinator.run_until_idle()
            await coordinator.signal(run.id, "amends.undo", UndoTo(turn=1, reason="too many"))
            clock.advance(timedelta(days=60))
            await coordinator.run_until_idle()
            assert {name for name, count in WORLD.items() if count} == {"room-1", "room-8"}
            assert "Undone: book_floor" in str(model.asked[7].messages[-1])
            (asked,) = await coordinator.approvals()
            await coordinator.decide(asked.id, approved=False, by="ann")
            await coordinator.run_until_idle()
            assert await run.status() == Status.COMPENSATED
        assert set(WORLD.values()) == {0}
        assert Counter(CALLS) == Counter({f"room-{n}": 1 for n in (1, 2, 3, 4, 5, 6, 8)})


@on_a_loop
async def test_what_was_allowed_spent_and_said_stays(database_url: str) -> None:
    """A10, A12: an approval for good, the budget's use, and the transcript, beyond floors and restarts."""
    sending = [ToolCall(f"s{n}", "send_floor", json.dumps({"name": f"letter-{n}"})) for n in range(8)]
    answers: list[Any] = [*sending[:4], napping(3), *sending[4:], "done"]
    with floors_from(2):
        model, clock = ScriptedModel(answers, by="turn", name="dear"), VirtualClock()
        price = {"dear": Price(Decimal(1), Decimal(1))}
        budget = Budget(turns=9, cost=Decimal(5), exhausted=Exhausted.FAIL)
        agent = worker("remembers", model, budget=budget, prices=price)
        async with Coordinator(database_url, clock=clock) as coordinator:
            run = await coordinator.start(agent, "go on")
            await coordinator.run_until_idle()
            (asked,) = await coordinator.approvals()
            await coordinator.decide(asked.id, approved=True, by="ann")
            await coordinator.run_until_idle()
        clock.advance(timedelta(days=60))
        async with Coordinator(database_url, clock=clock) as coordinator:
            await coordinator.run_until_idle()
            again = await coordinator.get(run.id)
            assert len(await coordinator.approvals(None)) == 1
            with pytest.raises(RunFailed, match="budget of 9 turns"):
                await again.result()
            said = await transcript(again)
        assert len(said) == 1 + 2 * 9
        assert len(model.asked) == 9


@on_a_loop
async def test_a_conversation_that_was_handed_over_stays_with_who_has_it(sqlite_url: str) -> None:
    with floors_from(2):
        script: list[Any] = [*(booking(turn) for turn in range(1, 6)), napping(2), "done"]
        second = ScriptedModel(script, name="second")
        other = worker("takes_over", second)
        first = ScriptedModel([ToolCall("h", "hand_over_to_takes_over", "{}")])
        agent, clock = Agent("hands_over", model=first, tools=[handoff(other)]), VirtualClock()
        async with Coordinator(sqlite_url, clock=clock) as coordinator:
            run = await coordinator.start(agent, "go on")
            await coordinator.run_until_idle()
        clock.advance(timedelta(days=60))
        async with Coordinator(sqlite_url, clock=clock) as coordinator:
            await coordinator.run_until_idle()
            assert await (await coordinator.get(run.id)).result() == "done"
        assert (len(first.asked), len(second.asked)) == (1, 7)


@on_a_loop
async def test_a_conversation_too_large_for_a_floor_goes_on_without(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(floors, "LARGEST", 900)
    with floors_from(2):
        run = await worked(
            sqlite_url, worker("talks_much", ScriptedModel(working(30), by="turn")), 1, name="x"
        )
        assert (await kinds(sqlite_url, run.id))[Kind.FLOOR] <= 1


def test_usage_is_part_of_what_is_kept() -> None:
    """The fields of a conversation that a floor must hold: whoever adds one has to think of it."""
    from amends.agents.conversation import Conversation  # noqa: PLC0415

    made_anew = {
        "agent",
        "ledger",
        "depth",
        "above",
        "repairs",
        "hash",
        "hashed",
        "results",
        "own",
        "floor_at",
    }
    fields = set(Conversation.__dataclass_fields__)
    assert fields - made_anew <= set(floors.Kept.__dataclass_fields__)
    assert Usage().known
