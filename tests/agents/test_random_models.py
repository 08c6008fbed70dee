"""Whatever a model answers, and whatever people decide, the rules of agents hold (A1 to A12)."""

from __future__ import annotations

import asyncio
import json
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, event, given, note, settings
from hypothesis import strategies as st

from amends.agents import ModelRequest, NoteMessage, ToolMessage, UndoTo
from amends.sagas import ActionRefused, Approval, Coordinator, Run, RunEnded, Status
from amends.sagas.handle import fold
from amends.sagas.journal import Entry
from amends.sagas.testing import simulate
from tests.agents.agents_world import valid
from tests.agents.random_models import ABOVE, DAY, Doings, Plan, agent_of, killed, plans
from tests.crash.stores import Store, sqlite_store
from tests.sagas.running import Clock

ENDS = (Status.COMPLETED, Status.COMPENSATED, Status.PARTIALLY_COMPENSATED, Status.FAILED, Status.CANCELLED)
KEY = re.compile(r"<([^>]+)>")
UNDONE = re.compile(r"^(?:Everything that you did|What you did after turn (\d+)) has been undone")
FAILURES = (
    "amends.agents.errors:",
    "amends.agents.model_errors:",
)


@dataclass
class Played:
    """An agent's run that has ended, and all that was seen of it."""

    status: Status
    error: str
    entries: list[Entry]
    asked: list[ModelRequest]
    world: Doings
    plan: Plan
    approved: list[int] = field(default_factory=list)
    rejected: int = 0

    @property
    def above(self) -> list[ModelRequest]:
        """The requests of the agent above."""
        return [request for request in self.asked if request.instructions == ABOVE]


@pytest.fixture(scope="module")
def databases() -> Iterator[Store]:
    """Give databases that are made already: there is one for each example."""
    with tempfile.TemporaryDirectory() as directory:
        yield sqlite_store(Path(directory))


QUICK = settings(
    max_examples=int(os.environ.get("AMENDS_EXAMPLES", "25")),
    deadline=None,
    phases=[phase for phase in Phase if phase is not Phase.explain],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
THOROUGH = settings(QUICK, max_examples=2_000)


@QUICK
@given(plan=plans)
def test_no_model_and_no_decision_breaks_a_rule(databases: Store, plan: Plan) -> None:
    """A1 to A12: stated of the transcripts, of the journal and of the world."""
    check(databases, plan)


@pytest.mark.soak
@THOROUGH
@given(plan=plans)
def test_thousands_of_models_and_decisions_break_no_rule(databases: Store, plan: Plan) -> None:
    """A1 to A12, longer."""
    check(databases, plan)


@settings(QUICK, max_examples=60)
@given(plan=killed, seed=st.integers(0, 1 << 16), last=st.none() | st.integers(0, 2))
def test_no_kill_breaks_a_rule(plan: Plan, seed: int, last: int | None) -> None:
    """A11, and S1 to S27: workers die and freeze, commits and calls lose their answers, in virtual time."""
    check_killed(plan, seed, last)


@pytest.mark.soak
@settings(THOROUGH, max_examples=10_000)
@given(plan=killed, seed=st.integers(0, 1 << 16), last=st.none() | st.integers(0, 2))
def test_thousands_of_kills_break_no_rule(plan: Plan, seed: int, last: int | None) -> None:
    """A11, and S1 to S27, longer."""
    check_killed(plan, seed, last)


def check_killed(plan: Plan, seed: int, last: int | None) -> None:
    """Let what the seed says go wrong for a plan; `last` is the turn after which people undo."""
    agent, model = agent_of(plan, gated=False)
    signals = [] if last is None else [("amends.undo", UndoTo(last, "no"))]
    trace = simulate(agent, "go", seeds=[seed], resources=Doings(once=False), signals=signals)
    event(str(trace).rpartition(": ")[2])
    assert all(valid(request.messages) for request in model.asked)


def check(databases: Store, plan: Plan) -> None:
    """Play a plan, and see that no rule is broken."""
    with databases() as database:
        played = asyncio.run(play(plan, database.url))
    event(played.status.value)
    note(f"{played.status}: {played.error}; {played.world}")
    assert [*broken(played)] == []


async def play(plan: Plan, url: str) -> Played:
    """Start the agent, and do what people do whenever it waits, until it has ended."""
    agent, model = agent_of(plan)
    world, clock = Doings(), Clock()
    played = Played(Status.FAILED, "", [], model.asked, world, plan)
    left = ["approve"] * 20 if plan.patient else []
    acts = [*plan.acts, *left, "later", "later", "later", *["cancel"] * 3]
    while True:
        async with Coordinator(url, clock=clock, resources=world) as coordinator:
            run: Run[Any] = await coordinator.start(agent, "go", id="r")
            while True:
                await coordinator.run_until_idle()
                if await run.status() != Status.WAITING:
                    break
                await _act(coordinator, run, acts.pop(0), played, clock)
                if plan.restless:
                    break
            played.status = await run.status()
            if played.status in (*ENDS, Status.PARKED):
                played.entries = await run.journal()
                error = fold(played.entries).error
                played.error = json.loads(error)["type"] if error else ""
                return played


async def _act(coordinator: Coordinator, run: Run[Any], act: str, played: Played, clock: Clock) -> None:
    pending = await coordinator.approvals()
    if act == "cancel":
        await run.cancel("enough")
    elif act == "later":
        clock.move(DAY)
    elif act.startswith("undo"):
        await coordinator.signal(run.id, "amends.undo", UndoTo(int(act[5:]), "no"))
    elif pending:
        asked = pending[-1]
        await _decide(coordinator, asked, act, played)


async def _decide(coordinator: Coordinator, asked: Approval, act: str, played: Played) -> None:
    paying = asked.title == "r_pay"
    values = {"amount": 99} if act == "edit" and paying else None
    try:
        await coordinator.decide(asked.id, approved=act != "reject", by="ann", values=values)
    except (ActionRefused, RunEnded):
        return
    if paying and act != "reject":
        played.approved.append(99 if values else asked.details["arguments"]["amount"])


def broken(played: Played) -> Iterator[str]:
    """Give the rules that are broken, in words."""
    yield from _of_the_end(played)
    yield from _of_the_journal(played)
    yield from _of_the_transcripts(played)
    yield from _of_the_world(played)


def _of_the_end(played: Played) -> Iterator[str]:
    if played.status not in ENDS:
        yield f"A2: it ended {played.status}"
    if played.error and not played.error.startswith(FAILURES):
        yield f"A1: what failed the agent is {played.error}"


def _of_the_journal(played: Played) -> Iterator[str]:
    history = fold(played.entries)
    steps = list(history.steps.values())
    if any(step.to_settle for step in steps):
        yield "A2: a step isn't settled"
    asked = sum(step.name in ("below.model", "random.above.model") for step in steps)
    if asked != len(played.asked):
        yield f"A3: the model was asked {len(played.asked)} times, {asked} are on record"
    called = Counter(step.name for step in steps)
    budget = played.plan.budget
    if budget is not None and budget.exhausted != "ask":
        # Parallel calls of one answer are counted one by one, those of sub-agents too.
        if budget.turns is not None and asked > budget.turns:
            yield f"A12: {asked} questions, the budget is {budget.turns}"
        tools = sum(called[name] for name in ("r_book", "r_pay", "r_look", "r_mail"))
        if budget.tool_calls is not None and tools > budget.tool_calls:
            yield f"A12: {tools} calls of tools, the budget is {budget.tool_calls}"


def _of_the_transcripts(played: Played) -> Iterator[str]:
    for request in played.asked:
        if not valid(request.messages):
            yield f"A11: {request.messages}"
    before: ModelRequest | None = None
    for request in played.above:
        if before is not None and request.messages[: len(before.messages)] != before.messages:
            yield "A11: what was said was changed"
        before = request


def _of_the_world(played: Played) -> Iterator[str]:
    world = played.world
    if len(world.undone) != len(set(world.undone)):
        yield f"A5: undone twice: {world.undone}"
    if Counter(world.paid) - Counter(played.approved):
        yield f"A10: paid {world.paid}, approved {played.approved}"
    booked = {key for key, name in world.done.items() if name == "r_book"}
    stands = booked - set(world.undone)
    if played.status is not Status.COMPLETED:
        if stands:
            yield f"A4: it ended {played.status}, and {stands} stand"
        return
    told = told_of(played)
    if stands - told:
        yield f"A1: the model doesn't know that {stands - told} stand"
    undone = undone_by_people(played)
    if undone & stands:
        yield f"A9: told that {undone & stands} are undone; they stand"
    if played.plan.budget is not None and any(act.startswith("undo") for act in played.plan.acts):
        # A used up budget may have ended it before the model was told of an undo.
        return
    kept = {key for key in told_above(played) if key in booked} - undone
    if kept - stands:
        yield f"A9: {kept - stands} don't stand, and nobody has told the model"


def told_of(played: Played) -> set[str]:
    """Give the keys of what models were told as done, all of them together."""
    messages = [message for request in played.asked for message in request.messages]
    return {
        key
        for message in messages
        if isinstance(message, ToolMessage) and not message.failed
        for key in KEY.findall(message.text)
    }


def told_above(played: Played) -> dict[str, int]:
    """Give the turn of each thing that the agent above was told as done."""
    turns: dict[str, int] = {}
    for turn, request in enumerate(played.above):
        for message in request.messages:
            if isinstance(message, ToolMessage) and not message.failed and message.name != "below":
                for key in KEY.findall(message.text):
                    turns.setdefault(key, turn)
    return turns


def undone_by_people(played: Played) -> set[str]:
    """Give what the agent above was told to be undone: its own work after the turn that the note names."""
    turns, gone = told_above(played), set()
    known = 0
    for turn, request in enumerate(played.above):
        for message in request.messages[known:]:
            found = UNDONE.match(message.text) if isinstance(message, NoteMessage) else None
            if found:
                last = int(found[1] or 0)
                gone |= {key for key, at in turns.items() if last < at <= turn}
        known = len(request.messages)
    return gone & {key for key, name in played.world.done.items() if name == "r_book"}
