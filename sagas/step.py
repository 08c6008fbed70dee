"""Steps and compensations: everything that touches the world."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from amends.persistence.typed_json import JsonType
from amends.sagas import checked, context
from amends.sagas.arguments import Arguments, json_type
from amends.sagas.callers import callers_names
from amends.sagas.checked import Errors
from amends.sagas.errors import DefinitionError
from amends.sagas.failure import named_by
from amends.sagas.given import Given, given_to
from amends.sagas.outcome import Effect, OnUnknown, Outcome
from amends.sagas.registry import HANDLERS, STEPS
from amends.sagas.retry import Retry
from amends.sagas.saga import Saga
from amends.tracing.words import Words

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=StrEnum)

TIMEOUT = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Undo(Generic[R]):
    """What a compensation is told of the effect that it undoes.

    `result` is the step's result, None where it isn't known; `outcome` is `landed` or `unknown`; `cause`
    says why it is undone (`error`, `cancel`, `deadline`, `operator`, `abandoned`, `failed`);
    `forward_key` is the idempotency key that the step used, `key` the compensation's own.
    """

    result: R | None
    outcome: Outcome
    cause: str
    forward_key: str
    key: str


class Compensation(Generic[R]):
    """A function registered to undo a step's effect, pinned in the journal by name and version."""

    given: Given | None = None
    """What it is given beside its arguments, as the compensation of a transaction."""

    def __init__(
        self,
        step: Step[..., R],
        fn: Callable[..., Any],
        *,
        name: str,
        version: str,
        retry: Retry,
        timeout: timedelta,
    ) -> None:
        self.step = step
        self.fn = fn
        self.name = name
        self.version = version
        self.retry = retry
        self.timeout_ms = round(timeout / timedelta(milliseconds=1))
        self.is_async = is_async(fn)
        if step.given is not None:
            self.given = given_to(fn, 1, callers_names(), f"@{step.name}.compensation")
        self._check()

    @property
    def handler(self) -> str:
        """The name under which the journal knows it: `name@version`."""
        return f"{self.name}@{self.version}"

    def call(self, undo: Undo[R], arguments: Mapping[str, Any], *first: Any) -> Any:
        """Call the function with `undo`, `first` and the step's recorded arguments."""
        return self.step.arguments.call(self.fn, arguments, undo, *first)

    def _check(self) -> None:
        parameters = list(inspect.signature(self.fn).parameters.values())
        if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
            return
        wanted = 1 + (self.given is not None) + len(self.step.arguments.parameters)
        if len(parameters) != wanted:
            raise DefinitionError(
                f"compensation {self.name!r} takes {len(parameters)} parameters; it gets `undo` and then "
                f"those of step {self.step.name!r}: ({', '.join(('undo', *self.step.arguments.names))})"
            )


class Probe:
    """A function that finds out whether a step's effect is in the world."""

    def __init__(self, step: Step[..., Any], fn: Callable[..., Any]) -> None:
        self.step = step
        self.fn = fn
        self.name = step.name
        checked.returning(fn, f"the probe of step {step.name!r}")
        self.is_async = is_async(fn)
        parameters = list(inspect.signature(fn).parameters.values())
        takes_any = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters)
        if not takes_any and len(parameters) != len(step.arguments.parameters):
            raise DefinitionError(
                f"the probe of step {step.name!r} takes {len(parameters)} parameters; it gets those of the "
                f"step: ({', '.join(step.arguments.names)})"
            )


@dataclass(frozen=True, slots=True)
class StepOptions:
    """The options of a step, as given to `@step`."""

    retry: Retry
    timeout: timedelta
    no_effect: tuple[type[BaseException], ...]
    on_unknown: OnUnknown
    probe: Callable[..., Any] | None
    effect: Effect | None
    heartbeat: timedelta | None


class Step(Generic[P, R]):
    """A function that touches the world. Calling it in a saga's body makes it a durable step of the run.

    `step.fn` is the plain function. Outside a run, awaiting the call runs the function plainly. `effect` is
    what it does to the world: a step with a compensation is compensatable.
    """

    given: Given | None = None
    """What its function is given beside its arguments, as a transaction."""
    parks = False
    """Whether a person is asked when its attempts are used up, before it counts as failed."""
    words: Words | None = None  # How its attempts are told in traces, where "step {name}" doesn't do.
    settled_first = False
    """Whether somebody has to say what became of it, where nobody knows, before the body sees its error."""

    def __init__(
        self,
        fn: Callable[..., Any],
        name: str,
        options: StepOptions,
        names: Mapping[str, Any],
        *,
        skip: int = 0,
    ) -> None:
        functools.update_wrapper(self, fn, updated=())
        self.fn = fn
        self.name = name
        self.options = options
        self.timeout_ms = round(options.timeout / timedelta(milliseconds=1))
        self.retry = options.retry.without_bound() if options.effect is Effect.RETRIABLE else options.retry
        self.is_async = is_async(fn)
        self.arguments = Arguments(fn, f"step {name!r}", names, skip)
        self.arguments.resolve()
        self._result: JsonType[Any] | None = None
        self._compensation: Compensation[R] | None = None
        self.effect: Effect = options.effect or Effect.PLAIN
        if self.arguments._json is not None:  # noqa: SLF001 - resolved: the result is checked at decoration too
            self._result = self._result_type()
        self.probe = None if options.probe is None else Probe(self, options.probe)
        self.known = named_by((fn,), (*options.no_effect, *options.retry.named()))

    def __repr__(self) -> str:
        return f"<step {self.name!r}>"

    @property
    def result(self) -> JsonType[Any]:
        """The type of the step's result."""
        if self._result is None:
            self._result = self._result_type()
        return self._result

    @property
    def current_compensation(self) -> Compensation[R] | None:
        """The compensation that new intents are recorded with, or None."""
        return self._compensation

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        """Make the call's awaitable: a durable step in a saga's body, the plain function anywhere else."""
        body = context.running_body()
        if body is None:
            self._check_place()
            return self._plainly(*args, **kwargs)
        return body.step(self, args, kwargs)

    def _check_place(self) -> None:
        """Refuse new effects in a compensation: nobody would ever undo them (S22)."""
        undoing = context.UNDOING.get()
        if undoing and self.effect is not Effect.READ:
            raise DefinitionError(
                f"compensation {undoing!r} calls step {self.name!r}: what a step does there is in no "
                f"journal. Call its plain function, {self.fn.__name__}.fn(...), if it undoes something"
            )

    async def _plainly(self, *args: P.args, **kwargs: P.kwargs) -> R:
        made = self.fn(*args, **kwargs)
        result: R = await made if inspect.isawaitable(made) else made
        return result

    @overload
    def compensation(
        self, fn: Callable[Concatenate[Undo[R], P], Awaitable[None] | None], /
    ) -> Callable[Concatenate[Undo[R], P], Awaitable[None] | None]: ...

    @overload
    def compensation(
        self,
        *,
        name: str | None = None,
        version: str | int = "1",
        retry: Retry | None = None,
        timeout: timedelta | None = None,
    ) -> Callable[
        [Callable[Concatenate[Undo[R], P], Awaitable[None] | None]],
        Callable[Concatenate[Undo[R], P], Awaitable[None] | None],
    ]: ...

    def compensation(  # type: ignore[misc]  # mypy mistakes a method of a generic with a ParamSpec
        self,
        fn: Any = None,
        /,
        *,
        name: str | None = None,
        version: str | int = "1",
        retry: Retry | None = None,
        timeout: timedelta | None = None,
    ) -> Any:
        """Register the function that undoes this step's effect.

        It is called with an `Undo` and the step's recorded arguments, at least once and never again after
        a recorded success; it must tolerate "nothing there". Registered again with another `version`, new
        runs use the newer one and the older one stays for the runs that recorded it.
        Raises `DefinitionError` when the parameters don't fit, or the step's effect has no way back.
        """
        if fn is None:
            return functools.partial(
                self.compensation, name=name, version=version, retry=retry, timeout=timeout
            )
        if self.options.effect not in (None, Effect.COMPENSATABLE):
            raise DefinitionError(
                f"step {self.name!r} is declared {self.options.effect}; it takes no compensation"
            )
        what = f"@{self.name}.compensation"
        checked.returning(fn, what)
        made = Compensation(
            self,
            fn,
            name=checked.name(
                getattr(fn, "__qualname__", None) if name is None else name, f"{what}: a compensation's name"
            ),
            version=checked.version(version, f"{what}: version="),
            retry=UNDO_RETRY if retry is None else checked_policy(retry, what),
            timeout=self.options.timeout
            if timeout is None
            else checked.duration(timeout, f"{what}: timeout", DefinitionError),
        )
        HANDLERS.add(made.handler, made, fn)
        self._compensation, self.effect = made, Effect.COMPENSATABLE
        return fn

    def _result_type(self) -> JsonType[Any]:
        return json_type(self.arguments.hints().get("return", Any), f"step {self.name!r}: its result")


def is_async(fn: Callable[..., Any]) -> bool:
    """Tell whether calling it gives an awaitable, also through a decorator's plain wrapper."""
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(inspect.unwrap(fn))


UNDO_RETRY = Retry(attempts=10)


@overload
def step(fn: Callable[P, Coroutine[Any, Any, R]], /) -> Step[P, R]: ...
@overload
def step(fn: Callable[P, R], /) -> Step[P, R]: ...
@overload
def step(
    *,
    name: str | None = None,
    retry: Retry | None = None,
    timeout: timedelta = TIMEOUT,
    no_effect: Errors = (),
    on_unknown: str | Callable[..., Any] = OnUnknown.RETRY,
    effect: str | None = None,
    heartbeat: timedelta | None = None,
) -> StepDecorator: ...
def step(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    retry: Retry | None = None,
    timeout: timedelta = TIMEOUT,
    no_effect: Errors = (),
    on_unknown: str | Callable[..., Any] = OnUnknown.RETRY,
    effect: str | None = None,
    heartbeat: timedelta | None = None,
) -> Any:
    """Make a function, sync or async, a step.

    `retry` says when a failed attempt is tried again (three attempts by default); `timeout` is per attempt;
    `no_effect` lists the errors that prove that nothing happened; `on_unknown` is `retry` (with the same
    key), `compensate`, `park`, or a probe: a function of the step's arguments that answers `Landed(result)`
    or `NotLanded()`. `effect` is `read`, `compensatable`, `plain`, `pivot`, `retriable` or `irreversible`;
    with `heartbeat` an attempt that is silent for so long counts as unknown.
    Raises `DefinitionError` for an annotation without JSON form, an unknown option's value, or a name that
    another file has taken.

    >>> @step(retry=Retry(attempts=5))
    ... async def reserve_stock(order_id: str) -> str: ...
    """
    policy = Retry() if retry is None else checked_policy(retry, "@step")
    decorator = StepDecorator(name, policy, timeout, no_effect, on_unknown, effect, heartbeat)
    return decorator if fn is None else decorator(fn)


class StepDecorator:
    """What `@step(...)` with options returns: it makes a function a step."""

    def __init__(
        self,
        name: str | None,
        retry: Retry,
        timeout: timedelta,
        no_effect: Errors,
        on_unknown: str | Callable[..., Any],
        effect: str | None,
        heartbeat: timedelta | None,
    ) -> None:
        self._name = name if name is None else checked.name(name, "@step: a step's name")
        probe = on_unknown if callable(on_unknown) else None
        policy = OnUnknown.PROBE
        if probe is None:
            policy = chosen(OnUnknown, on_unknown, "@step: on_unknown", "a probe function")
        kind = None if effect is None else chosen(Effect, effect, "@step: effect")
        surely = checked.errors(no_effect, "@step: no_effect=")
        self.options = StepOptions(retry, timeout, surely, policy, probe, kind, heartbeat)
        check_options(self.options)

    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> Step[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Step[P, R]: ...
    def __call__(self, fn: Callable[..., Any], /) -> Step[..., Any]:
        """Make the function a step and register it."""
        if isinstance(fn, Step | Saga):
            raise DefinitionError(f"@step: {fn!r} can't be a step besides; put @step on the function alone")
        checked.function(fn, "@step")
        name = checked.name(self._name or fn.__qualname__, "@step: a step's name")
        made: Step[..., Any] = Step(fn, name, self.options, callers_names())
        STEPS.add(name, made, fn)
        return made


def check_options(options: StepOptions, what: str = "@step") -> None:
    """Check what fits together; `what` is the decorator. Raises `DefinitionError`."""
    checked.duration(options.timeout, f"{what}: timeout", DefinitionError)
    if options.heartbeat is not None:
        checked.duration(options.heartbeat, f"{what}: heartbeat", DefinitionError)
        if options.heartbeat > options.timeout:
            raise DefinitionError(
                f"{what}: heartbeat={options.heartbeat} must be at most timeout={options.timeout}"
            )
    if options.on_unknown is OnUnknown.PROBE and options.probe is None:
        raise DefinitionError(f'{what}: on_unknown="probe" needs the probe: give the function itself')
    one_way = options.effect in (Effect.PIVOT, Effect.RETRIABLE)
    if one_way and options.on_unknown is OnUnknown.COMPENSATE:
        raise DefinitionError(
            f"{what}: a {options.effect} step can't be compensated; on_unknown= takes 'retry', 'park' or"
            " a probe"
        )


def checked_policy(retry: Any, what: str) -> Retry:
    """Check a retry policy. Raises `DefinitionError`."""
    if not isinstance(retry, Retry):
        raise DefinitionError(f"{what}: retry={retry!r} must be a Retry, such as Retry(attempts=3)")
    return retry


def chosen(kind: type[C], given: Any, option: str, *others: str) -> C:
    """Give what an option's value stands for. Raises `DefinitionError` that lists what there is.

    `option` names the decorator and the option: `@step: effect`.
    """
    try:
        if given == Effect.CHILD:
            raise ValueError(given)
        return kind(given)
    except ValueError:
        known = [repr(str(choice)) for choice in kind if choice not in (OnUnknown.PROBE, Effect.CHILD)]
        raise DefinitionError(f"{option}={given!r} is not one of {', '.join([*known, *others])}") from None
