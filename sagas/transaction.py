"""Transactional steps: their rows in the coordinator's database and their outcome commit together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Concatenate, NoReturn, ParamSpec, Protocol, TypeVar, overload

from amends.sagas import checked
from amends.sagas.callers import callers_names
from amends.sagas.checked import Errors
from amends.sagas.errors import DefinitionError, OutsideRun
from amends.sagas.given import SHOWN, given_to
from amends.sagas.outcome import Effect, OnUnknown
from amends.sagas.registry import STEPS
from amends.sagas.retry import Retry
from amends.sagas.saga import Saga
from amends.sagas.step import TIMEOUT, Step, StepOptions, Undo, check_options, checked_policy, chosen

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
    from sqlalchemy.orm import Session

P = ParamSpec("P")
R = TypeVar("R")
D = TypeVar("D", bound="Connection | Session")
A = TypeVar("A", bound="AsyncConnection | AsyncSession")
E = TypeVar("E", bound="Connection | Session | AsyncConnection | AsyncSession")


class Transaction(Step[P, R]):
    """A step whose rows in the coordinator's database commit together with its outcome, exactly once.

    Its function's first parameter is the connection or session that amends gives it, and no part of the
    call. `transaction.fn` is the plain function, with that parameter.
    """

    def __init__(
        self, fn: Callable[..., Any], name: str, options: StepOptions, names: Mapping[str, Any]
    ) -> None:
        found = given_to(fn, 0, names, f"@transaction {name!r}")
        if found is None:
            raise DefinitionError(
                f"@transaction {name!r}: its first parameter must be annotated with what it is given: {SHOWN}"
            )
        self.given = found
        super().__init__(fn, name, options, names, skip=1)

    def __repr__(self) -> str:
        return f"<transaction {self.name!r}>"

    async def _plainly(self, *args: P.args, **kwargs: P.kwargs) -> NoReturn:
        del args, kwargs
        raise OutsideRun(
            f"the transaction {self.name!r} was called outside a run, where nobody gives it a connection: "
            f"call its plain function with one of yours, {self.fn.__name__}.fn(connection, ...)"
        )

    @overload
    def compensation(
        self, fn: Callable[Concatenate[Undo[R], E, P], Awaitable[None] | None], /
    ) -> Callable[Concatenate[Undo[R], E, P], Awaitable[None] | None]: ...

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
    ) -> TransactionCompensation[P, R]: ...

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
        """Register the function that undoes this step's rows; with a connection, in a transaction of its own.

        It is called with an `Undo`, then the connection if its second parameter is annotated as one, and the
        step's recorded arguments. Where the step's transaction never committed it isn't called, and that
        transaction can't commit any more. With a connection it is done exactly once, without one at least
        once. Raises `DefinitionError` as `Step.compensation` does.
        """
        register: Any = super().compensation
        return register(fn, name=name, version=version, retry=retry, timeout=timeout)


class TransactionCompensation(Protocol[P, R]):
    """What `@x.compensation(...)` with options returns: it registers a function."""

    @overload
    def __call__(
        self, fn: Callable[Concatenate[Undo[R], E, P], Awaitable[None] | None], /
    ) -> Callable[Concatenate[Undo[R], E, P], Awaitable[None] | None]: ...
    @overload
    def __call__(
        self, fn: Callable[Concatenate[Undo[R], P], Awaitable[None] | None], /
    ) -> Callable[Concatenate[Undo[R], P], Awaitable[None] | None]: ...


@overload
def transaction(fn: Callable[Concatenate[A, P], Coroutine[Any, Any, R]], /) -> Transaction[P, R]: ...
@overload
def transaction(fn: Callable[Concatenate[D, P], R], /) -> Transaction[P, R]: ...
@overload
def transaction(
    *,
    name: str | None = None,
    retry: Retry | None = None,
    timeout: timedelta = TIMEOUT,
    no_effect: Errors = (),
    effect: str | None = None,
) -> TransactionDecorator: ...
def transaction(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    retry: Retry | None = None,
    timeout: timedelta = TIMEOUT,
    no_effect: Errors = (),
    effect: str | None = None,
) -> Any:
    """Make a function a step that works in one transaction of the coordinator's own database.

    Its first parameter, annotated as a Connection, Session, AsyncConnection or AsyncSession of SQLAlchemy, is
    given by amends; callers leave it out. What it writes there and its outcome commit together, exactly once;
    when it raises, nothing of it has happened. `retry`, `timeout` (of each attempt) and `effect` (but for
    `read`) are as for `@step`; errors in `no_effect` are answers, which aren't tried again.
    Raises `DefinitionError` as `@step` does, and for a function without such a parameter.

    >>> @transaction
    ... def book(db: Connection, order_id: str) -> int:
    ...     return db.execute(
    ...         insert(bookings).values(order=order_id).returning(bookings.c.id)
    ...     ).scalar_one()
    """
    policy = Retry() if retry is None else checked_policy(retry, "@transaction")
    decorator = TransactionDecorator(name, policy, timeout, no_effect, effect)
    return decorator if fn is None else decorator(fn)


class TransactionDecorator:
    """What `@transaction(...)` with options returns: it makes a function a transactional step."""

    def __init__(
        self, name: str | None, retry: Retry, timeout: timedelta, no_effect: Errors, effect: str | None
    ) -> None:
        self._name = name if name is None else checked.name(name, "@transaction: a step's name")
        kind = None if effect is None else chosen(Effect, effect, "@transaction: effect")
        if kind is Effect.READ:
            raise DefinitionError(
                "@transaction: effect='read' is for steps that only look: make it a @step, with an engine "
                "from current_step().resources"
            )
        surely = checked.errors(no_effect, "@transaction: no_effect=")
        self._options = StepOptions(retry, timeout, surely, OnUnknown.RETRY, None, kind, None)
        check_options(self._options, "@transaction")

    @overload
    def __call__(self, fn: Callable[Concatenate[A, P], Coroutine[Any, Any, R]], /) -> Transaction[P, R]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[D, P], R], /) -> Transaction[P, R]: ...
    def __call__(self, fn: Callable[..., Any], /) -> Transaction[..., Any]:
        """Make the function a transactional step and register it."""
        if isinstance(fn, Step | Saga):
            raise DefinitionError(f"@transaction: {fn!r} can't be a transaction besides")
        checked.function(fn, "@transaction")
        name = checked.name(self._name or fn.__qualname__, "@transaction: a step's name")
        made: Transaction[..., Any] = Transaction(fn, name, self._options, callers_names())
        STEPS.add(name, made, fn)
        return made
