"""What is called when a run of a saga has ended or is parked: `@x.on_complete` and its like."""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar, overload

from amends.sagas.errors import DefinitionError
from amends.sagas.outgoing import Outgoing, OutgoingDecorator
from amends.sagas.retry import Retry
from amends.sagas.states import Status
from amends.sagas.step import TIMEOUT

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Report(Generic[R]):
    """What became of a run, as its handlers are told.

    `status` is an end, or parked; `cause` is what ended it or turned it round (`error`, `cancel`, `deadline`,
    `operator`). `result` is there where it completed, `error` (type and message) where one ended it,
    `reason` where it is parked. `owed` names the steps whose compensations are. `at` is aware, UTC.
    """

    run_id: str
    saga: str
    version: str
    status: Status
    at: dt.datetime
    cause: str | None = None
    result: R | None = None
    error: str | None = None
    reason: str | None = None
    owed: tuple[str, ...] = ()


Handler: TypeAlias = Callable[[Report[R]], Awaitable[None] | None]


class Handling(Generic[R]):
    """The handlers of one event of a saga; called with a function, it adds that. See `Saga.on_complete`."""

    def __init__(self, saga: str, event: str) -> None:
        self._what = f"@{saga}.{event}"
        self._handlers: dict[str, Outgoing[..., None]] = {}

    def __iter__(self) -> Iterator[Outgoing[..., None]]:
        return iter(self._handlers.values())

    @overload
    def __call__(self, fn: Handler[R], /) -> Outgoing[[Report[R]], None]: ...
    @overload
    def __call__(
        self,
        *,
        name: str | None = None,
        version: str | int = "1",
        retry: Retry | None = None,
        timeout: dt.timedelta = TIMEOUT,
    ) -> Callable[[Handler[R]], Outgoing[[Report[R]], None]]: ...
    def __call__(  # type: ignore[misc]  # mypy mistakes a method of a generic, as in Step.compensation
        self,
        fn: Handler[R] | None = None,
        /,
        *,
        name: str | None = None,
        version: str | int = "1",
        retry: Retry | None = None,
        timeout: dt.timedelta = TIMEOUT,
    ) -> Any:
        """Add a handler; defined again, it replaces the one of its name. Raises `DefinitionError`."""
        make: OutgoingDecorator[..., Any] = OutgoingDecorator(name, version, retry, timeout, self._what)

        def add(fn: Handler[R]) -> Outgoing[..., None]:
            made: Outgoing[..., Any] = make(fn)
            if len(made.arguments.parameters) != 1:
                raise DefinitionError(
                    f"{self._what}: {made.name!r} takes ({', '.join(made.arguments.names)}); "
                    "it gets one argument, a Report"
                )
            self._handlers[made.name] = made
            return made

        return add if fn is None else add(fn)
