"""Agents: sagas whose steps a model chooses."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Generic, TypeVar, overload

from amends.agents.approval_policy import ApprovalPolicy
from amends.agents.budget import Budget, Exhausted
from amends.agents.loop import work
from amends.agents.messages import Message
from amends.agents.model import Model
from amends.agents.model_call import ModelCall
from amends.agents.output import Output
from amends.agents.prices import Price, price_of
from amends.agents.toolset import AnyTool, Toolset
from amends.agents.trace_words import AgentWords, ModelWords
from amends.agents.turn_plan import Turn
from amends.agents.undoing import UNDO, UndoTo
from amends.sagas import checked
from amends.sagas.context import running_body
from amends.sagas.errors import DefinitionError, OutsideRun
from amends.sagas.registry import SAGAS
from amends.sagas.retry import Retry
from amends.sagas.saga import Saga
from amends.sagas.scopes import savepoint

O = TypeVar("O")  # noqa: E741 - output

ASKING = Retry(attempts=8)
"""How often a model is asked again that doesn't answer: for some two minutes, where it says nothing else."""


class Agent(Saga[[Any], O], Generic[O]):
    """A saga whose steps a model chooses: it is asked, may call tools, and gives a result at last.

    `coordinator.start(agent, input)` starts a run of it; `await agent(input)` in a saga does its work as a
    part of that run, and an error that leaves it undoes exactly that part.

    `model` is one model, or several: the next is asked where one has failed for good. `instructions` is a
    text, or a pure function of the input. `output_type` is what the final answer has to be; one that doesn't
    fit is given back to the model, `repairs` times. `budget` bounds what may be used up. `stop_when` gets
    each `Turn` from the second on and says whether the model has to come to its answer, without tools;
    `prepare_turn` may give another `Turn` than it gets. Both are pure functions, called again on replay.
    `review` has people accept the result; rejecting it undoes everything, unless a pivot has landed.
    `parallel` bounds the tools at work at once, `retry` and `timeout` are those of the model's calls,
    `options` go to the provider, `prices` replace list prices.
    Raises `DefinitionError`.

    >>> helper = Agent("helper", model=OpenAIModel("gpt-5-mini"), tools=[find_order, refund])
    >>> run = await coordinator.start(helper, "Refund order 7, please.")
    """

    @overload
    def __init__(
        self: Agent[str],
        name: str,
        *,
        model: Model | Sequence[Model],
        instructions: str | Callable[[Any], str] = "",
        tools: Iterable[AnyTool] = (),
        input_type: Any = str,
        budget: Budget | None = None,
        stop_when: Callable[[Turn], bool] | None = None,
        prepare_turn: Callable[[Turn], Turn | None] | None = None,
        review: ApprovalPolicy | None = None,
        parallel: int = 8,
        repairs: int = 3,
        retry: Retry = ASKING,
        timeout: timedelta = timedelta(minutes=10),
        options: Mapping[str, Any] | None = None,
        prices: Mapping[str, Price] | None = None,
        version: str | int = "1",
        deadline: timedelta | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        name: str,
        *,
        model: Model | Sequence[Model],
        output_type: type[O],
        instructions: str | Callable[[Any], str] = "",
        tools: Iterable[AnyTool] = (),
        input_type: Any = str,
        budget: Budget | None = None,
        stop_when: Callable[[Turn], bool] | None = None,
        prepare_turn: Callable[[Turn], Turn | None] | None = None,
        review: ApprovalPolicy | None = None,
        parallel: int = 8,
        repairs: int = 3,
        retry: Retry = ASKING,
        timeout: timedelta = timedelta(minutes=10),
        options: Mapping[str, Any] | None = None,
        prices: Mapping[str, Price] | None = None,
        version: str | int = "1",
        deadline: timedelta | None = None,
    ) -> None: ...
    def __init__(
        self,
        name: str,
        *,
        model: Model | Sequence[Model],
        output_type: Any = str,
        instructions: str | Callable[[Any], str] = "",
        tools: Iterable[AnyTool] = (),
        input_type: Any = str,
        budget: Budget | None = None,
        stop_when: Callable[[Turn], bool] | None = None,
        prepare_turn: Callable[[Turn], Turn | None] | None = None,
        review: ApprovalPolicy | None = None,
        parallel: int = 8,
        repairs: int = 3,
        retry: Retry = ASKING,
        timeout: timedelta = timedelta(minutes=10),
        options: Mapping[str, Any] | None = None,
        prices: Mapping[str, Price] | None = None,
        version: str | int = "1",
        deadline: timedelta | None = None,
    ) -> None:
        checked.name(name, "Agent: an agent's name")
        self.models: tuple[Model, ...] = _models(model, name)
        self.instructions = instructions
        self.tools = Toolset(tools, name)
        self.specs = tuple(tool.spec for tool in self.tools)
        self.output = Output(output_type)
        self.budget = budget
        self.stop_when = stop_when
        self.prepare_turn = prepare_turn
        self.review = review
        self.parallel = checked.count(parallel, f"Agent {name!r}: parallel", DefinitionError)
        self.repairs = checked.count(repairs, f"Agent {name!r}: repairs", DefinitionError)
        self.options = dict(options or {})
        self.prices = prices
        _check_budget(self)
        if deadline is not None:
            checked.duration(deadline, f"Agent {name!r}: deadline", DefinitionError)
        super().__init__(
            _body(self, input_type, output_type),
            name=name,
            version=checked.version(version, f"Agent {name!r}: version="),
            deadline=deadline,
            names={},
        )
        self.model_call = ModelCall(name, retry, timeout)
        self.words, self.model_call.words = AgentWords(name), ModelWords(self)
        self.signals.learn(UNDO, UndoTo)
        SAGAS.add((self.name, self.version), self, self.fn, file=sys._getframe(1).f_code.co_filename)  # noqa: SLF001 - where it is defined

    def __repr__(self) -> str:
        return f"<agent {self.name!r}>"

    def __call__(self, given: Any) -> Coroutine[Any, Any, O]:
        """Do the agent's work as a part of the saga that calls it; an error that leaves it undoes that.

        Raises `OutsideRun` where no saga does.
        """
        return self.part(given)

    async def part(self, given: Any, above: Any = None) -> O:
        """Do the work in a scope of its own; `above` is the conversation whose budget it counts in (A4)."""
        if running_body() is None:
            raise OutsideRun(
                f"agent {self.name!r} was called outside a run; start it with "
                "coordinator.start(agent, input), or await it in a saga's body"
            )
        async with savepoint():
            result: O = await work(self, given, above)
            return result

    def instructions_for(self, first: Message) -> str:
        """Give the instructions for an input."""
        return self.instructions(first) if callable(self.instructions) else self.instructions


def _body(agent: Agent[Any], input_type: Any, output_type: Any) -> Callable[[Any], Coroutine[Any, Any, Any]]:
    async def body(input: Any) -> Any:
        return await work(agent, input, own=True)

    body.__annotations__ = {"input": input_type, "return": output_type}
    return body


def _models(given: Any, agent: str) -> tuple[Model, ...]:
    models = tuple(given) if isinstance(given, list | tuple) else (given,)
    for model in models:
        if not isinstance(getattr(model, "name", None), str) or not callable(getattr(model, "answer", None)):
            raise DefinitionError(
                f"Agent {agent!r}: model={model!r} is no model, such as OpenAIModel('gpt-5-mini')"
            )
    if not models:
        raise DefinitionError(f"Agent {agent!r}: model= names no model")
    return models


def _check_budget(agent: Agent[Any]) -> None:
    """Refuse a budget that can't be kept: a cost nobody can count, a stop without a text to end with."""
    budget = agent.budget
    if budget is None:
        return
    if budget.cost is not None:
        for model in agent.models:
            if price_of(model.name, prices=agent.prices) is None:
                raise DefinitionError(
                    f"Agent: nobody knows what {model.name!r} costs, so that budget.cost can't be kept; "
                    "say it in prices={...: Price(...)}"
                )
    if budget.exhausted == Exhausted.STOP and not agent.output.is_text:
        raise DefinitionError(
            'Agent: exhausted="stop" ends with the model\'s last text, and the output type is another; '
            'choose "fail" or "ask"'
        )
