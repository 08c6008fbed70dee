"""What is defined in this process: sagas, steps and compensations, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from amends.sagas.errors import DefinitionError, UnknownSaga

if TYPE_CHECKING:
    from amends.sagas.saga import Saga
    from amends.sagas.step import Compensation, Step

K = TypeVar("K")
D = TypeVar("D")


class Definitions(Generic[K, D]):
    """Definitions of one kind. Defined again from the same file, one replaces the other."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._items: dict[K, tuple[str, D]] = {}

    def add(self, key: K, definition: D, fn: Callable[..., Any], *, file: str | None = None) -> None:
        """Add a definition of `file`, the function's own when left out.

        Raises `DefinitionError` when another file has defined the name.
        """
        code = getattr(fn, "__code__", None)
        file = file or (code.co_filename if code is not None else "<unknown>")
        before = self._items.get(key)
        if before is not None and before[0] != file:
            raise DefinitionError(
                f"{self._kind} {_shown(key)!r} is defined twice, in {before[0]} and in {file}; "
                "give one of them another name (name=...)"
            )
        self._items[key] = (file, definition)

    def get(self, key: K) -> D | None:
        """Give the definition of that name, or None."""
        item = self._items.get(key)
        return None if item is None else item[1]

    def all(self) -> list[D]:
        """Give all definitions, in the order in which they were made."""
        return [definition for _, definition in self._items.values()]

    def keys(self) -> list[K]:
        """Give all names."""
        return list(self._items)


def _shown(key: object) -> str:
    return "@".join(str(part) for part in key) if isinstance(key, tuple) else str(key)


SAGAS: Definitions[tuple[str, str], Saga[..., Any]] = Definitions("saga")
STEPS: Definitions[str, Step[..., Any]] = Definitions("step")
HANDLERS: Definitions[str, Compensation[Any]] = Definitions("compensation")


def saga_named(name: str, version: str | None = None) -> Saga[..., Any]:
    """Find a saga by name and version (the one defined last, when left out). Raises `UnknownSaga`."""
    found = [saga for saga in SAGAS.all() if saga.name == name and version in (None, saga.version)]
    if not found:
        known = ", ".join(sorted({saga.name for saga in SAGAS.all()})) or "none"
        wanted = name if version is None else f"{name}@{version}"
        raise UnknownSaga(f"no saga {wanted!r} is defined here; defined are: {known}")
    return found[-1]
