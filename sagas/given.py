"""What a transactional function is given: a connection or a session, as its first parameter is annotated."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from amends.sagas.errors import DefinitionError

KINDS = ("Connection", "Session", "AsyncConnection", "AsyncSession")
SHOWN = "Connection, Session, AsyncConnection or AsyncSession of SQLAlchemy"


@dataclass(frozen=True, slots=True)
class Given:
    """A class of SQLAlchemy's, or one derived from it, of which a transaction's function wants an object."""

    kind: type[Any]
    is_async: bool
    is_session: bool

    def session(self, connection: Any) -> Any:
        """Make a session on a connection whose transaction isn't the session's to end."""
        return self.kind(
            bind=connection, expire_on_commit=False, join_transaction_mode="rollback_only", autoflush=True
        )


def given_to(fn: Callable[..., Any], place: int, names: Mapping[str, Any], what: str) -> Given | None:
    """Tell what a function's parameter at `place` is given; None where it is no connection.

    Raises `DefinitionError` for an annotation that can't be resolved, or doesn't fit the kind of function.
    """
    parameters = list(inspect.signature(fn).parameters.values())
    if len(parameters) <= place or parameters[place].annotation is inspect.Parameter.empty:
        return None
    found = _given(_resolved(fn, parameters[place], names, what))
    if found is None:
        return None
    is_async = inspect.iscoroutinefunction(inspect.unwrap(fn))
    if found.is_async is not is_async:
        wanted = "AsyncConnection or AsyncSession" if is_async else "Connection or Session"
        raise DefinitionError(
            f"{what}: {'an async def' if is_async else 'a plain def'} takes an {wanted}, not a "
            f"{found.kind.__name__}: what it calls wouldn't fit"
        )
    return found


def _resolved(
    fn: Callable[..., Any], parameter: inspect.Parameter, names: Mapping[str, Any], what: str
) -> Any:
    stub = types.SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
    inner = inspect.unwrap(fn)
    try:
        return typing.get_type_hints(stub, getattr(inner, "__globals__", {}), dict(names))[parameter.name]
    except NameError as error:
        raise DefinitionError(
            f"{what}: the annotation of {parameter.name!r} can't be resolved ({error}); import it at module "
            "level, and not under TYPE_CHECKING alone"
        ) from error


def _given(annotation: Any) -> Given | None:
    for base in getattr(annotation, "__mro__", ()):
        if base.__name__ in KINDS and base.__module__.partition(".")[0] == "sqlalchemy":
            name = base.__name__
            return Given(annotation, name.startswith("Async"), name.endswith("Session"))
    return None
