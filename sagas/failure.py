"""Exceptions on their way through the journal and back."""

from __future__ import annotations

import asyncio
import builtins
import json
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from amends.sagas import errors
from amends.sagas.errors import RunFailed, StepFailed, StepTimeout, WorkerLost

LONGEST_TEXT = 8_000
DEEPEST = 10
CONTROL = (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, StopIteration, SystemExit)
"""Raised again in a body or a caller, these would stop it instead of telling it something."""
GROUPS = (ExceptionGroup, BaseExceptionGroup)


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception as recorded: class by name, text, arguments where JSON has them, traceback."""

    type: str
    message: str
    args: list[Any] | None
    traceback: str
    parts: tuple[Failure, ...] = ()

    def to_json(self) -> bytes:
        """Encode for the journal; lone surrogates and control characters are escaped."""
        return json.dumps(self._fields()).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Failure:
        """Decode what `to_json` wrote. Raises `ValueError` or `KeyError` when it isn't that."""
        return cls._of(json.loads(data))

    def _fields(self) -> dict[str, Any]:
        fields = {"type": self.type, "message": self.message, "args": self.args, "traceback": self.traceback}
        return fields | ({"parts": [part._fields() for part in self.parts]} if self.parts else {})

    @classmethod
    def _of(cls, fields: dict[str, Any]) -> Failure:
        parts = tuple(cls._of(part) for part in fields.get("parts", ()))
        return cls(fields["type"], fields["message"], fields["args"], fields["traceback"], parts)


def describe(error: BaseException, *, depth: int = DEEPEST) -> Failure:
    """Make the record of an exception, groups in groups to a `depth`.

    Never raises, whatever the exception's own methods do.
    """
    kind = type(error)
    if kind is StepFailed and isinstance(error, StepFailed) and error.type:
        return Failure(error.type, error.message, None, error.traceback)
    name = f"{kind.__module__}:{kind.__qualname__}"
    if depth and kind in GROUPS and isinstance(error, BaseExceptionGroup):
        parts = tuple(describe(part, depth=depth - 1) for part in error.exceptions)
        return Failure(name, error.message, None, _traceback(error), parts)
    return Failure(name, _text(error), _json_args(error), _traceback(error))


def rebuild(failure: Failure, known: Callable[[str], type[BaseException] | None]) -> BaseException:
    """Give the exception as its own class where `known` finds it and it can be rebuilt, else `StepFailed`."""
    kind = known(failure.type)
    if failure.parts and kind in GROUPS:
        return BaseExceptionGroup(failure.message, [rebuild(part, known) for part in failure.parts])
    if kind is not None and not issubclass(kind, CONTROL):
        error = _rebuilt(kind, failure)
        if error is not None:
            return error
    return StepFailed(failure.message, type=failure.type, traceback=failure.traceback)


def _rebuilt(kind: type[BaseException], failure: Failure) -> BaseException | None:
    if issubclass(kind, (StepTimeout, WorkerLost)):
        return kind(failure.message)
    if failure.args is None:
        return None
    try:
        if issubclass(kind, RunFailed):
            # Recorded are its facts; another number of them is somebody else's record, and isn't rebuilt.
            run_id, status, cause = failure.args
            return kind(failure.message, run_id=run_id, status=status, cause=cause, error=None)
        error = kind(*failure.args)
        return error if _text(error) == failure.message else None
    except Exception:  # noqa: BLE001 - a constructor of somebody else's may raise anything
        return None


def named_by(
    functions: Iterable[Callable[..., Any]], declared: Iterable[type[BaseException]]
) -> Callable[[str], type[BaseException] | None]:
    """Make a look-up of exception classes by recorded name.

    It finds what the code of these functions can name itself: their globals, the modules in them, their
    closures, the built-ins, our own errors and the declared ones. Nothing is imported for a name in a record.
    """
    found: dict[str, type[BaseException] | None] = {}
    functions, declared = tuple(functions), tuple(declared)

    def known(name: str) -> type[BaseException] | None:
        if name not in found:
            found[name] = _find(name, functions, declared)
        return found[name]

    return known


def _find(
    name: str, functions: tuple[Callable[..., Any], ...], declared: tuple[type[BaseException], ...]
) -> type[BaseException] | None:
    module, _, qualname = name.partition(":")
    last = qualname.rpartition(".")[2]
    ours = sys.modules.get(module) if module.partition(".")[0] == "amends" else None
    known = (builtins, errors, ours)
    candidates: list[Any] = [*(getattr(place, last, None) for place in known), *declared]
    for function in functions:
        for place in (_closure(function), getattr(function, "__globals__", {})):
            candidates.append(place.get(last))
            candidates.extend(
                value if isinstance(value, type) else vars(value).get(last)
                for value in list(place.values())
                if isinstance(value, type | ModuleType)
            )
    for kind in candidates:
        is_error = isinstance(kind, type) and issubclass(kind, BaseException)
        if is_error and kind.__module__ == module and kind.__qualname__ == qualname:
            found: type[BaseException] = kind
            return found
    return None


def _closure(function: Callable[..., Any]) -> dict[str, Any]:
    names = function.__code__.co_freevars if hasattr(function, "__code__") else ()
    cells = getattr(function, "__closure__", None) or ()
    filled = {}
    for name, cell in zip(names, cells, strict=False):
        try:
            filled[name] = cell.cell_contents
        except ValueError:
            continue
    return filled


def _text(error: BaseException) -> str:
    try:
        return str(error)[:LONGEST_TEXT]
    except BaseException:  # noqa: BLE001 - somebody else's __str__ may even try to end the process
        return f"<{type(error).__qualname__} whose text can't be had>"


def _json_args(error: BaseException) -> list[Any] | None:
    if isinstance(error, RunFailed):
        return [error.run_id, error.status, error.cause]
    try:
        encoded = json.dumps(list(error.args))
    except BaseException:  # noqa: BLE001 - arguments may be any object at all
        return None
    return json.loads(encoded) if len(encoded) <= LONGEST_TEXT else None


def _traceback(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))[-LONGEST_TEXT:]
    except BaseException:  # noqa: BLE001 - as above
        return ""
