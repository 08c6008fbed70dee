"""Options of an approval of tools, checked where they are given."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from amends.sagas import checked
from amends.sagas.errors import DefinitionError


def check_fits(when: Callable[..., bool] | None, names: Iterable[str], what: str) -> None:
    """Check that `when` can be called with a tool's arguments. Raises `DefinitionError`."""
    if when is None:
        return
    names = tuple(names)
    try:
        inspect.signature(when).bind(**dict.fromkeys(names))
    except ValueError:
        return  # one written in C, which tells nothing of its parameters
    except TypeError as problem:
        raise DefinitionError(
            f"{what}: whether people approve is decided by {when!r}, which doesn't take the tool's "
            f"arguments by name ({', '.join(names)}): {problem}; give it those, or **arguments"
        ) from None


def check_predicate(given: Any, option: str) -> None:
    """Refuse what would always be true: a coroutine function gives an awaitable."""
    if not callable(given):
        raise DefinitionError(f"{option}={given!r} takes a function of the arguments")
    call = getattr(given, "__call__", None)  # noqa: B004 - an object's method may be the coroutine function
    if inspect.iscoroutinefunction(inspect.unwrap(given)) or inspect.iscoroutinefunction(call):
        raise DefinitionError(
            f"{option}={given!r} is asynchronous; it decides on the arguments alone, in a plain function"
        )


def people(given: Any, option: str) -> tuple[str, ...]:
    """Check the names of people, each once. Raises `DefinitionError`."""
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise DefinitionError(f"ApprovalPolicy: {option}={given!r} takes names, such as {option}=['ann']")
    return tuple(dict.fromkeys(checked.name(each, f"ApprovalPolicy: a name in {option}") for each in given))
