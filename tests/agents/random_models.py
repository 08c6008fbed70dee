"""Models that answer anything, the agents that they drive, and the world that these change."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from amends.agents import (
    Agent,
    ApprovalPolicy,
    Budget,
    Finish,
    ModelAnswer,
    ModelMessage,
    ModelRequest,
    ModelUnavailable,
    ScriptedModel,
    ToolCall,
    Usage,
    agent_tool,
    ask_person,
    tool,
)
from amends.sagas import NoEffect, Retry, Undo, current_step

ONCE = Retry(attempts=1)
DAY = timedelta(days=1)
ABOVE, BELOW = "You are above.", "You are below."


@dataclass
class Doings:
    """What the tools have done: keys by tool, those that were undone, and what was paid."""

    done: dict[str, str] = field(default_factory=dict)
    """The tool by the key of its call."""
    undone: list[str] = field(default_factory=list)
    paid: list[int] = field(default_factory=list)

    def do(self, name: str) -> str:
        """Note that a tool has done something; gives the key, which the model is told."""
        key = current_step().idempotency_key
        assert key not in self.done, f"A8: {name} has the key of {self.done[key]}"
        self.done[key] = name
        return f"<{key}>"


def doings() -> Doings:
    found: Doings = current_step().resources
    return found


@tool(name="r_book", retry=ONCE)
async def book(what: str, nights: int = 1) -> str:
    """Book something."""
    del nights
    if what == "full":
        raise NoEffect("it is full")
    told = doings().do("r_book")
    if what == "nowhere":
        raise ValueError("nobody knows what has happened")
    return told


@book.compensation(name="random.unbook", retry=ONCE)
async def unbook(undo: Undo[str], what: str, nights: int = 1) -> None:
    del what, nights
    doings().undone.append(undo.forward_key)


@tool(name="r_pay", retry=ONCE)
async def pay(amount: int) -> str:
    """Pay; nothing is said of what that does (A7)."""
    doings().paid.append(amount)
    return doings().do("r_pay")


@tool(name="r_look", effect="read", retry=ONCE)
async def look(what: Any = None) -> str:
    """Look something up."""
    if what == "dark":
        raise LookupError("it is dark")
    return str(what)


@tool(name="r_mail", effect="irreversible", retry=ONCE)
async def mail(text: str) -> str:
    """Send a mail."""
    del text
    return doings().do("r_mail")


NAMES = ["r_book", "r_book", "r_book", "r_pay", "r_pay", "r_look", "r_mail", "below", "below", "ask_person"]
STRANGE = ["R_BOOK", "r_b\u043eok", "", "unbook", "random.unbook", "r_book\n", "above", "amends.undo"]
VALID = [
    {"what": "hotel"},
    {"what": "hotel", "nights": 3},
    {"what": "nowhere"},
    {"what": "full"},
    {"what": "dark"},
    {"amount": 7},
    {"amount": "8"},
    {"amount": 9, "approved": True},
    {"text": "hi"},
    {"task": "go"},
    {"question": "may I?"},
    {},
]
TWICE = '{"what": "a", "what": "b"}'
INVALID = ["", "{", "[]", "null", TWICE, '{"amount": NaN}', '"r_pay"', '{"what": "\\ud800"}']

arguments = st.sampled_from(VALID).map(json.dumps) | st.sampled_from(INVALID) | st.text(max_size=8)
calls = st.builds(
    ToolCall,
    st.sampled_from(["", "a", "a", "b", "call_1_0", "call_2_1"]),
    st.sampled_from(NAMES) | st.sampled_from(NAMES) | st.sampled_from(STRANGE),
    arguments,
)


@st.composite
def fitting(draw: st.DrawFn) -> ToolCall:
    """Draw a call that a tool can make sense of."""
    fits = {"r_book": VALID[:4], "r_pay": VALID[5:7], "r_look": [*VALID[:1], VALID[4]], "r_mail": [VALID[8]]}
    fits |= {"below": [VALID[9]], "ask_person": [VALID[10]]}
    name = draw(st.sampled_from([*fits, "r_book", "r_pay", "below"]))
    given = draw(st.sampled_from(fits[name]))
    return ToolCall(draw(st.sampled_from(["", "a", "b"])), name, json.dumps(given))


several = st.lists(fitting() | fitting() | calls, min_size=1, max_size=4).map(tuple)
acting = several.map(lambda made: (ModelMessage("", made), Finish.CALLS))
answers = st.one_of(
    acting,
    acting,
    acting,
    st.sampled_from(["done", "done", "", " \n"]).map(lambda text: (ModelMessage(text), Finish.STOP)),
    several.map(lambda made: (ModelMessage("I was", made), Finish.LENGTH)),
    several.map(lambda made: (ModelMessage("both", made), Finish.STOP)),
    st.just((ModelMessage(refusal="I won't"), Finish.STOP)),
    st.just((ModelMessage("", ()), Finish.FILTERED)),
    st.just(ModelUnavailable("it is gone", "scripted")),
)
scripts = st.lists(answers, max_size=5)
budgets = st.none() | st.builds(
    Budget,
    turns=st.none() | st.integers(1, 6),
    tool_calls=st.none() | st.integers(1, 4),
    exhausted=st.sampled_from(["fail", "stop", "ask"]),
)
acts = st.lists(
    st.sampled_from([*["approve"] * 3, "reject", "edit", "undo 0", "undo 1", "undo 2", "later"]), max_size=7
)


@dataclass(frozen=True)
class Plan:
    """What the models say in each turn, what people do, one act after the other, and the agent's options."""

    above: list[Any]
    below: list[Any]
    acts: list[str]
    budget: Budget | None
    review: bool
    restless: bool
    """Whether the worker is another one after each act."""


plans = st.builds(Plan, scripts, scripts, acts, budgets, st.booleans(), st.booleans())


def agent_of(plan: Plan) -> tuple[Agent[str], ScriptedModel]:
    """Make the agent of a plan, and the model that both it and its sub-agent ask."""

    def answer(request: ModelRequest) -> Any:
        script = plan.above if request.instructions == ABOVE else plan.below
        said = sum(message.kind in ("model", "note") for message in request.messages)
        found = script[said] if said < len(script) else (ModelMessage("done"), Finish.STOP)
        if isinstance(found, ModelUnavailable):
            return found
        message, finish = found
        return ModelAnswer(message, finish, Usage(10, 5), "scripted")

    model = ScriptedModel(answer)
    gated = ApprovalPolicy(timeout=2 * DAY)
    below = Agent("below", model=model, instructions=BELOW, tools=[book, pay, mail, look], retry=ONCE)
    above = Agent(
        "random.above",
        model=model,
        instructions=ABOVE,
        tools=[book, pay, mail, look, ask_person(policy=gated), agent_tool(below)],
        budget=plan.budget,
        review=gated if plan.review else None,
        retry=ONCE,
    )
    return above, model
