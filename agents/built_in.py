"""Tools that are carried out in the run's body: asking a person, sleeping, sagas and other agents."""

from __future__ import annotations

import datetime as dt
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter
from pydantic_core import to_json

from amends.agents.approval_checks import check_fits
from amends.agents.approval_policy import ApprovalPolicy, Approves, policy_of
from amends.agents.asking import decision_on
from amends.agents.conversation import Conversation
from amends.agents.model import ToolSpec
from amends.agents.parameters import Misfit, Parameters
from amends.agents.tool import LIMIT, named
from amends.sagas.context import now, sleep_until
from amends.sagas.errors import DefinitionError, NoEffect
from amends.sagas.saga import Saga, as_saga

if TYPE_CHECKING:
    from amends.agents.agent import Agent

DEEPEST = 10
"""So many agents may stand inside one another."""

Carried = Callable[[Conversation, Mapping[str, Any]], Any]


class InBody:
    """A tool that a run's body carries out itself; what it does is done by steps and waits of that run."""

    def __init__(
        self,
        name: str,
        description: str,
        parameters: Parameters,
        carried: Carried,
        *,
        undone: bool = False,
        approval: Approves = None,
        limit: int = LIMIT,
    ) -> None:
        self.name = named(name, "a tool of the body")
        self.limit = limit
        self.description = description
        self.parameters = parameters
        self.undone = undone
        self._carried = carried
        self._policy = policy_of(approval, f"tool {name!r}")
        if self._policy is not None:
            check_fits(self._policy.when, parameters.names, f"tool {name!r}")

    def __repr__(self) -> str:
        return f"<tool {self.name!r} in the body>"

    @property
    def spec(self) -> ToolSpec:
        """The tool as a model is shown it."""
        return ToolSpec(self.name, self.description, self.parameters.schema)

    def approval_for(self, arguments: Mapping[str, Any]) -> ApprovalPolicy | None:
        """Give how people are asked about a call; None where nobody is."""
        return self._policy if self._policy is not None and self._policy.needed(arguments) else None

    async def carry_out(self, talk: Conversation, arguments: Mapping[str, Any]) -> str:
        """Do it, and give what there is to tell."""
        told = await self._carried(talk, arguments)
        return told if isinstance(told, str) else to_json(told).decode()


def ask_person(
    form: type[Any] | None = None,
    *,
    name: str = "ask_person",
    description: str = "Ask a person a question, and wait for the answer. It may take days.",
    policy: ApprovalPolicy | None = None,
) -> InBody:
    """Make a tool by which a model asks people: an approval whose title is the question.

    `form` is what they fill in, a pydantic model or a dataclass; left out, they answer with a reason.
    `policy` says who is asked, and how long. Raises `DefinitionError`.

    >>> Agent(
    ...     "clerk",
    ...     model=model,
    ...     tools=[ask_person(Address, policy=ApprovalPolicy(approvers=["ann"]))],
    ... )
    """
    how = policy or ApprovalPolicy()

    def question(question: str) -> str:
        """Ask.

        Args:
            question: what the person is to decide or to say, with everything that they need to know
        """
        return question

    async def carried(_talk: Conversation, arguments: Mapping[str, Any]) -> Any:
        asked = str(arguments["question"])
        title = "".join(c if c.isprintable() else " " for c in asked)[:500].strip() or "A question"
        decision = await decision_on(how, form, title, {"question": asked})
        if decision.expired:
            raise NoEffect("nobody has answered in time")
        said = decision.values if decision.values is not None else decision.reason
        return {"approved": decision.approved, "by": decision.by, "answer": said}

    return InBody(name, description, parameters_of(question, name), carried)


def sleeping(*, name: str = "sleep_until", longest: dt.timedelta = dt.timedelta(days=365)) -> InBody:
    """Make a tool by which a model pauses until a moment; the run costs a row meanwhile."""

    def moment(moment: dt.datetime) -> None:
        """Pause.

        Args:
            moment: when to go on, with its offset from UTC, such as 2026-05-01T09:00:00+02:00
        """

    async def carried(_talk: Conversation, arguments: Mapping[str, Any]) -> str:
        until: dt.datetime = arguments["moment"]
        if until.tzinfo is None:
            raise Misfit("the moment needs its offset from UTC, such as 2026-05-01T09:00:00+02:00")
        if until - now() > longest:
            raise Misfit(f"that is further away than {longest.days} days")
        await sleep_until(until)
        return f"it is {now().isoformat()} now"

    return InBody(name, "Pause until a moment, then go on.", parameters_of(moment, name), carried)


def saga_tool(
    saga: Saga[..., Any],
    *,
    name: str | None = None,
    description: str | None = None,
    approval: Approves = None,
) -> InBody:
    """Make a saga a tool: a call is a child run, which is undone as a unit with the agent's work.

    `name` is its function's own when left out. Raises `DefinitionError`.
    """
    known = as_saga(saga)
    called = known.fn.__name__ if name is None else name
    parameters = Parameters(known.fn, called, known.arguments.parameters, known.arguments.hints())

    async def carried(_talk: Conversation, arguments: Mapping[str, Any]) -> Any:
        return TypeAdapter(Any).dump_python(await known(**arguments), mode="json")

    text = parameters.description if description is None else description
    return InBody(called, text, parameters, carried, undone=True, approval=approval)


def agent_tool(
    agent: Agent[Any],
    *,
    name: str | None = None,
    description: str | None = None,
    approval: Approves = None,
) -> InBody:
    """Make an agent a tool of another: it works in a scope of its own, within the other's budget (A4, A12).

    What it fails with is told to the model above, after what it did was undone. Raises `DefinitionError`.
    """

    def task(task: str) -> str:
        """Give a task away.

        Args:
            task: what is to be done, with everything that has to be known for it
        """
        return task

    async def carried(talk: Conversation, arguments: Mapping[str, Any]) -> Any:
        if talk.depth + 1 >= DEEPEST:
            raise NoEffect(f"agents stand {DEEPEST} deep inside one another; do it yourself")
        return await agent.part(arguments["task"], talk)

    called = agent.name if name is None else name
    text = f"Give a task to the agent {agent.name}." if description is None else description
    return InBody(called, text, parameters_of(task, called), carried, undone=True, approval=approval)


def handoff(agent: Agent[Any], *, name: str | None = None, description: str | None = None) -> InBody:
    """Make a tool by which a model hands its conversation over: from the next turn on, `agent` has it.

    The transcript, the budget and what can be undone stay as they are; instructions, models, prices, tools
    and review are the other's. Its output type has to be that of the agent that hands over.
    Raises `DefinitionError`.
    """

    def no_arguments() -> None:
        """Hand the conversation over."""

    async def carried(talk: Conversation, _arguments: Mapping[str, Any]) -> str:
        if talk.agent.output.kind is not agent.output.kind:
            raise NoEffect(f"{agent.name} gives another kind of result than {talk.agent.name} has to give")
        talk.agent = agent
        talk.ledger.prices = {**(talk.ledger.prices or {}), **(agent.prices or {})}
        return f"{agent.name} has the conversation from here on"

    called = f"hand_over_to_{agent.name}" if name is None else name
    text = f"Hand the conversation over to {agent.name}." if description is None else description
    return InBody(called, text, parameters_of(no_arguments, called), carried)


def parameters_of(fn: Callable[..., Any], name: str) -> Parameters:
    """Give the parameters of a tool, as its function names them. Raises `DefinitionError`."""
    try:
        hints = inspect.get_annotations(fn, eval_str=True)
    except NameError as problem:
        raise DefinitionError(f"tool {name!r}: {problem}") from problem
    return Parameters(fn, name, list(inspect.signature(fn).parameters.values()), hints)
