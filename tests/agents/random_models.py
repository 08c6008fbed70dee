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
from amends.agents.toolset import AnyTool
from amends.sagas import NoEffect, Retry, Undo, current_step

ONCE = Retry(attempts=1)
DAY = timedelta(days=1)
ABOVE, BELOW = "You are above.", "You are below."


@dataclass
class Doings:
    """What the tools have done, by key, those that were undone, and what was paid.

    Where nothing is killed, nothing is done twice (`once`).
    """

    done: dict[str, str] = field(default_factory=dict)
    """The tool by the key of its call."""
    undone: list[str] = field(default_factory=list)
    paid: list[int] = field(default_factory=list)
    once: bool = True

    def do(self, name: str) -> str:
        """Note that a tool has done something; gives the key, which the model is told."""
        key = current_step().idempotency_key
        assert not self.once or key not in self.done, f"A8: {name} has the key of {self.done[key]}"
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


@st.composite
def any_calls(draw: st.DrawFn) -> tuple[ToolCall, ...]:
    """Draw the calls of one answer: most of them fit."""
    kinds = draw(st.lists(st.sampled_from([fitting(), fitting(), fitting(), calls]), min_size=1, max_size=4))
    return tuple(draw(kind) for kind in kinds)


several = any_calls()
acting = several.map(lambda made: (ModelMessage("", made), Finish.CALLS))
done = st.just((ModelMessage("done"), Finish.STOP))
useless = st.one_of(
    st.sampled_from(["", " \n"]).map(lambda text: (ModelMessage(text), Finish.STOP)),
    several.map(lambda made: (ModelMessage("I was", made), Finish.LENGTH)),
    several.map(lambda made: (ModelMessage("both", made), Finish.STOP)),
)
failing = st.one_of(
    st.just((ModelMessage(refusal="I won't"), Finish.STOP)),
    st.just((ModelMessage("", ()), Finish.FILTERED)),
    st.just(ModelUnavailable("it is gone", "scripted")),
)
KINDS = {"act": acting, "done": done, "useless": useless, "fail": failing}


@st.composite
def answers(draw: st.DrawFn) -> Any:
    """Draw what a model answers: most often calls."""
    return draw(KINDS[draw(st.sampled_from([*["act"] * 12, *KINDS]))])


scripts = st.lists(answers(), min_size=2, max_size=5)


def budgets_of(exhausted: list[str]) -> st.SearchStrategy[Budget]:
    """Give budgets that end in one of these ways."""
    return st.builds(
        Budget,
        turns=st.none() | st.integers(1, 6),
        tool_calls=st.none() | st.integers(1, 4),
        exhausted=st.sampled_from(exhausted),
    )


budgets = st.none() | st.none() | budgets_of(["fail", "stop", "ask"])
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
    patient: bool = True
    """Whether people go on to decide after the last act; else it expires, or is cancelled."""


plans = st.builds(Plan, scripts, scripts, acts, budgets, st.booleans(), st.booleans(), st.booleans())


killed = st.builds(
    Plan,
    scripts,
    scripts,
    st.just([]),
    st.none() | budgets_of(["fail", "stop"]),
    review=st.just(value=False),
    restless=st.just(value=False),
)
"""Plans in which nobody has to decide."""


def agent_of(plan: Plan, *, gated: bool = True) -> tuple[Agent[str], ScriptedModel]:
    """Make the agent of a plan, and the model that both it and its sub-agent ask.

    One that isn't `gated` has nothing that people decide.
    """

    def answer(request: ModelRequest) -> Any:
        script = plan.above if request.instructions == ABOVE else plan.below
        said = sum(message.kind in ("model", "note") for message in request.messages)
        found = script[said] if said < len(script) else (ModelMessage("done"), Finish.STOP)
        if isinstance(found, ModelUnavailable):
            return found
        message, finish = found
        return ModelAnswer(message, finish, Usage(10, 5), "scripted")

    model = ScriptedModel(answer)
    policy = ApprovalPolicy(timeout=2 * DAY)
    tools: list[AnyTool] = [book, mail, look]
    asking: list[AnyTool] = []
    if gated:
        tools.append(pay)
        asking.append(ask_person(policy=policy))
    below = Agent("below", model=model, instructions=BELOW, tools=tools, retry=ONCE)
    above = Agent(
        "random.above",
        model=model,
        instructions=ABOVE,
        tools=[*tools, agent_tool(below), *asking],
        budget=plan.budget,
        review=policy if plan.review and gated else None,
        retry=ONCE,
    )
    return above, model
