"""Tools: typed functions that a model may call, each a durable step."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Mapping
from datetime import timedelta
from typing import Any, Final, ParamSpec, TypeVar, overload

from amends.agents.approval_checks import check_fits
from amends.agents.approval_policy import ALWAYS, ApprovalPolicy, Approves, policy_of
from amends.agents.model import ToolSpec
from amends.agents.parameters import Parameters
from amends.agents.texts import clean
from amends.agents.trace_words import ToolWords
from amends.sagas import checked
from amends.sagas.callers import callers_names
from amends.sagas.checked import Errors
from amends.sagas.errors import DefinitionError
from amends.sagas.outcome import Effect, OnUnknown
from amends.sagas.registry import STEPS
from amends.sagas.retry import Retry
from amends.sagas.saga import Saga
from amends.sagas.step import TIMEOUT, Step, StepDecorator, StepOptions, checked_policy

P = ParamSpec("P")
R = TypeVar("R")

NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
LIMIT: Final = 20_000
"""Characters of a result that the model is told, where the tool says nothing else."""


class Tool(Step[P, R]):
    """A step that a model may call. In a saga's body it is an ordinary step.

    `description` and `parameters` are what the model is shown, from the docstring and the signature.
    `effect` is what it does to the world; without a word and without a compensation it counts as
    irreversible, and people have to approve each call (A7).
    """

    settled_first = True

    def __init__(
        self,
        fn: Callable[..., Any],
        name: str,
        options: StepOptions,
        names: Mapping[str, Any],
        *,
        description: str | None,
        approval: Approves,
        limit: int,
    ) -> None:
        super().__init__(fn, name, options, names)
        if options.effect is None:
            self.effect = Effect.IRREVERSIBLE
        # What a look at the world leaves behind needs nobody's word.
        self.settled_first = self.effect is not Effect.READ
        self.parameters = Parameters(fn, name, self.arguments.parameters, self.arguments.hints())
        self.description = self.parameters.description if description is None else _text(description, name)
        self.limit = checked.count(limit, f"@tool {name!r}: limit", DefinitionError)
        self.words = ToolWords(self)
        self._approval = approval
        self._policy = policy_of(approval, f"@tool {name!r}")
        if self._policy is not None:
            check_fits(self._policy.when, self.parameters.names, f"@tool {name!r}")

    def __repr__(self) -> str:
        return f"<tool {self.name!r}>"

    @property
    def spec(self) -> ToolSpec:
        """The tool as a model is shown it."""
        return ToolSpec(self.name, self.description, self.parameters.schema)

    @property
    def declared(self) -> bool:
        """Tell whether its author has said what it does to the world."""
        return self.options.effect is not None or self.current_compensation is not None

    def approval_for(self, arguments: Mapping[str, Any]) -> ApprovalPolicy | None:
        """Give how people are asked about a call with these arguments; None where nobody is (A7)."""
        policy = ALWAYS if self._approval is None and not self.declared else self._policy
        return policy if policy is not None and policy.needed(arguments) else None

    def needs_approval(self, arguments: Mapping[str, Any]) -> bool:
        """Tell whether people have to approve a call with these arguments (A7)."""
        return self.approval_for(arguments) is not None

    def told(self, result: Any) -> str:
        """Give what the model is told of a result: its text, cut at `limit`."""
        return cut(self.text_of(result), self.limit)

    def text_of(self, result: Any) -> str:
        """Give what there is to tell a model of a result: text as it is, anything else as JSON."""
        return result if isinstance(result, str) else self.result.encode(result).decode()


def cut(text: str, limit: int, more: str = "") -> str:
    """Cut a text that is longer than a model is to be told, and say so; what no JSON can hold is replaced.

    `more` tells how to come by the rest.
    """
    text = clean(text)
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\n[cut: {limit} of {len(text)} characters are shown{more}]"


@overload
def tool(fn: Callable[P, Coroutine[Any, Any, R]], /) -> Tool[P, R]: ...
@overload
def tool(fn: Callable[P, R], /) -> Tool[P, R]: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    effect: str | None = None,
    approval: Approves = None,
    limit: int = LIMIT,
    retry: Retry | None = None,
    timeout: timedelta = TIMEOUT,
    no_effect: Errors = (),
    on_unknown: str | Callable[..., Any] = OnUnknown.RETRY,
    heartbeat: timedelta | None = None,
) -> ToolDecorator: ...
def tool(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    effect: str | None = None,
    approval: Approves = None,
    limit: int = LIMIT,
    retry: Retry | None = None,
    timeout: timedelta = TIMEOUT,
    no_effect: Errors = (),
    on_unknown: str | Callable[..., Any] = OnUnknown.RETRY,
    heartbeat: timedelta | None = None,
) -> Any:
    """Make a typed function, sync or async, a tool: a step that a model may call.

    The model is shown `name` (the function's own by default), `description` (the docstring's text) and the
    parameters, with what the docstring says of each. `effect` is what the tool does to the world, as for
    `@step`; `@x.compensation` registers what undoes it. Without either it counts as irreversible, and people
    have to approve each call, unless `approval` says otherwise: "always", "never", a function of the
    arguments by name, or an `ApprovalPolicy`. Of a result the model is told at most `limit` characters. The
    other options are those of `@step`.
    Raises `DefinitionError` for a name that providers don't take, or parameters that have no JSON form.

    >>> @tool(effect="read")
    ... async def find_order(number: str) -> Order:
    ...     '''Look an order up.'''
    """
    policy = Retry() if retry is None else checked_policy(retry, "@tool")
    as_step = StepDecorator(name, policy, timeout, no_effect, on_unknown, effect, heartbeat)
    decorator = ToolDecorator(name, description, approval, limit, as_step.options)
    return decorator if fn is None else decorator(fn)


class ToolDecorator:
    """What `@tool(...)` with options returns: it makes a function a tool."""

    def __init__(
        self,
        name: str | None,
        description: str | None,
        approval: Approves,
        limit: int,
        options: StepOptions,
    ) -> None:
        self._name = name
        self._description = description
        self._approval = approval
        self._limit = limit
        self._options = options

    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> Tool[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Tool[P, R]: ...
    def __call__(self, fn: Callable[..., Any], /) -> Tool[..., Any]:
        """Make the function a tool and register it."""
        if isinstance(fn, Step | Saga):
            raise DefinitionError(f"@tool: {fn!r} can't be a tool besides; put @tool on the function alone")
        checked.function(fn, "@tool")
        name = named(fn.__name__ if self._name is None else self._name, "@tool")
        made: Tool[..., Any] = Tool(
            fn,
            name,
            self._options,
            callers_names(),
            description=self._description,
            approval=self._approval,
            limit=self._limit,
        )
        STEPS.add(name, made, fn)
        return made


def named(name: Any, what: str) -> str:
    """Check the name of a tool. Raises `DefinitionError`."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise DefinitionError(
            f"{what}: a tool's name has 1 to 64 letters, digits, - and _, as providers want it, not {name!r}"
        )
    return name


def _text(given: Any, name: str) -> str:
    if not isinstance(given, str):
        raise DefinitionError(f"@tool {name!r}: description={given!r} is a text")
    return given
