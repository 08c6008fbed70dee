"""Messages that leave: functions that are called after a commit, until they succeed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Mapping
from datetime import timedelta
from typing import Any, Final, Generic, ParamSpec, TypeVar, overload

import tenacity

from amends.sagas import checked
from amends.sagas.callers import callers_names
from amends.sagas.errors import DefinitionError, NoEffect
from amends.sagas.outcome import OnUnknown
from amends.sagas.registry import SAGAS, STEPS
from amends.sagas.retry import Retry
from amends.sagas.saga import Saga
from amends.sagas.step import TIMEOUT, Step, StepOptions, check_options, checked_policy

P = ParamSpec("P")
R = TypeVar("R")

LONGEST_WAIT: Final = 3_600
"""Seconds between two attempts at most."""

PERSISTENT: Final = Retry(
    attempts=25,
    wait=tenacity.wait_exponential(multiplier=1, max=LONGEST_WAIT) + tenacity.wait_random(0, 1),
    on=(Exception, NoEffect),
)
"""Fourteen hours of attempts, from a second apart to an hour."""


class Delivery(Step[P, R]):
    """The step that delivers a message: when its attempts are used up, a person is asked."""

    parks = True


class Outgoing(Saga[P, R]):
    """A function that is called after a commit, at least once, until it succeeds: a saga of one step.

    `outgoing.step` is that step, `outgoing.step.fn` the plain function.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        *,
        name: str,
        version: str,
        options: StepOptions,
        names: Mapping[str, Any],
    ) -> None:
        self.step: Delivery[P, R] = Delivery(fn, name, options, names)
        super().__init__(_calling(self.step), name=name, version=version, deadline=None, names=names)

    def __repr__(self) -> str:
        return f"<outgoing {self.name!r}>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        """Make the call's awaitable: a step of the run in a saga's body, the plain function anywhere else."""
        return self.step(*args, **kwargs)


class OutgoingDecorator(Generic[P, R]):
    """What `@outgoing(...)` with options returns: it makes a function an outgoing message."""

    def __init__(
        self, name: str | None, version: str | int, retry: Retry | None, timeout: timedelta, what: str
    ) -> None:
        self._what = what
        self._name = None if name is None else checked.name(name, f"{what}: a name")
        self._version = checked.version(version, f"{what}: version=")
        policy = PERSISTENT if retry is None else checked_policy(retry, what)
        checked.duration(timeout, f"{what}: timeout", DefinitionError)
        self._options = StepOptions(policy, timeout, (), OnUnknown.RETRY, None, None, None)
        check_options(self._options)

    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> Outgoing[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Outgoing[P, R]: ...
    def __call__(self, fn: Callable[..., Any], /) -> Outgoing[..., Any]:
        """Make the function an outgoing message and register it."""
        if isinstance(fn, Step | Saga):
            raise DefinitionError(f"{self._what}: {fn!r} takes a function, which it makes a saga of one step")
        checked.function(fn, self._what)
        made: Outgoing[..., Any] = Outgoing(
            fn,
            name=checked.name(self._name or fn.__qualname__, f"{self._what}: a name"),
            version=self._version,
            options=self._options,
            names=callers_names(),
        )
        STEPS.add(made.name, made.step, fn)
        SAGAS.add((made.name, made.version), made, fn)
        return made


@overload
def outgoing(fn: Callable[P, Coroutine[Any, Any, R]], /) -> Outgoing[P, R]: ...
@overload
def outgoing(fn: Callable[P, R], /) -> Outgoing[P, R]: ...
@overload
def outgoing(
    *,
    name: str | None = None,
    version: str | int = "1",
    retry: Retry | None = None,
    timeout: timedelta = TIMEOUT,
) -> OutgoingDecorator[..., Any]: ...
def outgoing(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    version: str | int = "1",
    retry: Retry | None = None,
    timeout: timedelta = TIMEOUT,
) -> Any:
    """Make a function, sync or async, a message that leaves with a commit.

    A `@transaction` sends it by `current_step().outbox.put(message, ...)`, a caller in a transaction of its
    own by `coordinator.start(message, ..., connection=...)`: if that commits, the function is called soon
    after, at least once, by any worker, until it succeeds; if not, never. It is a saga of one step, so
    `current_step().idempotency_key` is the same in each attempt. `timeout` is per attempt; `retry` is 25
    attempts by default, from a second to an hour apart. When they are used up the run is parked: `retry` of
    an operator tries it anew.
    Raises `DefinitionError` as `@step` does.

    >>> @outgoing
    ... async def announce_order(order_id: str) -> None:
    ...     await broker.publish("orders", order_id, key=current_step().idempotency_key)
    """
    decorator: OutgoingDecorator[..., Any] = OutgoingDecorator(name, version, retry, timeout, "@outgoing")
    return decorator if fn is None else decorator(fn)


def _calling(step: Step[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Make the body of a saga that consists of one step."""

    async def body(*args: Any, **kwargs: Any) -> Any:
        return await step(*args, **kwargs)

    return functools.update_wrapper(body, step.fn)
