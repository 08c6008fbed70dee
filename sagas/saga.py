"""Sagas: deterministic bodies that are replayed."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Coroutine, Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Generic, ParamSpec, TypeVar, overload

from amends.persistence.typed_json import JsonType
from amends.sagas import checked, context
from amends.sagas.arguments import Arguments, json_type
from amends.sagas.callers import callers_names
from amends.sagas.check import DeterminismWarning, check_body
from amends.sagas.errors import DefinitionError
from amends.sagas.failure import named_by
from amends.sagas.outcome import Effect
from amends.sagas.registry import SAGAS
from amends.sagas.signals import Signals
from amends.tracing.words import Words

if TYPE_CHECKING:
    from amends.sagas.handling import Handling

P = ParamSpec("P")
R = TypeVar("R")


class Saga(Generic[P, R]):
    """An `async def` whose steps are recorded and whose body is replayed. `saga.fn` is the plain function."""

    effect: Final = Effect.CHILD
    words: Words | None = None

    def __init__(
        self,
        fn: Callable[P, Coroutine[Any, Any, R]],
        *,
        name: str,
        version: str,
        deadline: timedelta | None,
        names: Mapping[str, Any],
        queue: str | None = None,
        key: Callable[..., Any] | None = None,
    ) -> None:
        functools.update_wrapper(self, fn, updated=())
        self.fn = fn
        self.name = name
        self.version = version
        self.deadline = deadline
        self.queue = queue
        self.key = key
        self.arguments = Arguments(fn, f"saga {name!r}", names)
        self.arguments.resolve()
        self._result: JsonType[Any] | None = None
        self.signals = Signals(fn, names)
        self.known = named_by((fn,), ())

    def __repr__(self) -> str:
        return f"<saga {f'{self.name}@{self.version}'!r}>"

    @property
    def result(self) -> JsonType[Any]:
        """The type of the saga's result."""
        if self._result is None:
            self._result = json_type(
                self.arguments.hints().get("return", Any), f"saga {self.name!r}: its result"
            )
        return self._result

    @functools.cached_property
    def on_complete(self) -> Handling[R]:
        """Register a function to be called when a run has completed: `@x.on_complete`, plain or with options.

        That is recorded in the transaction which ends the run, as the start of a run of its own: the function
        is called after the commit, with a `Report`, at least once, until it succeeds; options are those of
        `@outgoing`. A saga may have several. Runs that ended before the function was there call nothing.

        >>> @fulfil_order.on_complete
        ... async def tell_warehouse(report: Report[Receipt]) -> None: ...
        """
        return self._handling("on_complete")

    @functools.cached_property
    def on_failure(self) -> Handling[R]:
        """Register a function to be called when a run has ended otherwise, also by a later undo."""
        return self._handling("on_failure")

    @functools.cached_property
    def on_parked(self) -> Handling[R]:
        """Register a function to be called each time a run is parked: a person is needed."""
        return self._handling("on_parked")

    def _handling(self, event: str) -> Handling[R]:
        from amends.sagas.handling import Handling  # noqa: PLC0415 - handlers are sagas themselves

        return Handling(self.name, event)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        """Make the call's awaitable: a child run in a saga's body, the plain body anywhere else.

        A child run has a journal of its own and may be executed by any worker. It can be undone as a unit as
        long as nothing above it has ended, and later with the run above it. `Coordinator.start` starts a run
        by itself.
        """
        body = context.running_body()
        return self.fn(*args, **kwargs) if body is None else body.step(self, args, kwargs)


@overload
def saga(fn: Callable[P, Coroutine[Any, Any, R]], /) -> Saga[P, R]: ...
@overload
def saga(
    *,
    name: str | None = None,
    version: str | int = "1",
    deadline: timedelta | None = None,
    queue: str | None = None,
    key: Callable[..., str] | None = None,
) -> Callable[[Callable[P, Coroutine[Any, Any, R]]], Saga[P, R]]: ...
def saga(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    version: str | int = "1",
    deadline: timedelta | None = None,
    queue: str | None = None,
    key: Callable[..., str] | None = None,
) -> Any:
    """Make an `async def` a saga.

    `version` is stored with each run, and a run goes on only where its version is defined; `deadline` is how
    long a run may take before it is compensated. Runs with a `queue` begin when they have a place there (see
    `coordinator.queues`); `key` makes a text of a run's arguments: runs of one text take turns.
    Warns (`DeterminismWarning`) of clocks, randomness and sets in the body. Raises `DefinitionError`.

    >>> @saga
    ... async def fulfil_order(order_id: str) -> str:
    ...     return await reserve_stock(order_id)
    """

    def decorate(fn: Callable[..., Any]) -> Saga[..., Any]:
        if not inspect.iscoroutinefunction(fn):
            raise DefinitionError(f"@saga: {fn!r} must be an `async def`, and yield nothing")
        if deadline is not None:
            checked.duration(deadline, "@saga: deadline", DefinitionError)
        if key is not None and (queue is None or not callable(key)):
            raise DefinitionError("@saga: key= is a function of the saga's arguments, and takes a queue=")
        made = Saga(
            fn,
            name=checked.name(fn.__qualname__ if name is None else name, "@saga: a saga's name"),
            version=checked.version(version, "@saga: version="),
            deadline=deadline,
            names=callers_names(),
            queue=None if queue is None else checked.queue_name(queue, "@saga: queue=", DefinitionError),
            key=key,
        )
        for finding in check_body(fn):
            warnings.warn(str(finding), DeterminismWarning, stacklevel=3)
        SAGAS.add((made.name, made.version), made, fn)
        return made

    return decorate if fn is None else decorate(fn)


def as_saga(saga: Callable[..., Any]) -> Saga[..., Any]:
    """Give what somebody hands over as a saga. Raises `DefinitionError` where it is none."""
    if not isinstance(saga, Saga):
        raise DefinitionError(f"{saga!r} is not a saga; decorate it with @saga")
    return saga


def as_sagas(sagas: Iterable[Saga[..., Any]]) -> list[Saga[..., Any]]:
    """Give the sagas of what somebody hands over as some. Raises `DefinitionError`."""
    if not isinstance(sagas, Iterable):
        raise DefinitionError(f"sagas= takes a list of sagas, not {sagas!r}")
    return [as_saga(saga) for saga in sagas]
