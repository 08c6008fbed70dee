"""Finding sagas: importing modules and files, and what is defined in them."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import signal
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from amends.cli.errors import CommandError, one_line
from amends.sagas.registry import SAGAS
from amends.sagas.saga import Saga

AnySaga = Saga[..., Any]


@dataclass(frozen=True, slots=True)
class Imported:
    """A module, and the name in it that was asked for, if one was."""

    module: ModuleType
    attribute: str | None = None

    @property
    def given(self) -> str:
        """What was typed."""
        return self.module.__name__ if self.attribute is None else f"{self.module.__name__}:{self.attribute}"


def imported(given: str) -> Imported:
    """Import `MODULE`, `MODULE:ATTR`, `path/to/file.py` or `path/to/file.py:ATTR`.

    The current directory is on `sys.path`, and for a file the directory in which its topmost package lies.
    Raises `CommandError` when there is no such module, or importing it raises.
    """
    name, colon, attribute = given.rpartition(":")
    if not colon or attribute.endswith(".py") or "/" in attribute:
        name, attribute = given, ""
    if colon and name != given and not attribute:
        raise CommandError(f"{given!r} names nothing after the colon: give MODULE or MODULE:ATTR")
    _on_path(Path.cwd())
    if not name.endswith(".py"):
        return Imported(_import(name), attribute or None)
    path = Path(name).resolve()
    if not path.is_file():
        raise CommandError(f"there is no file {name}")
    module = _import(_dotted(path))
    if Path(module.__file__ or "").resolve() != path:
        raise CommandError(
            f"{name} can't be imported: {module.__file__} is named {module.__name__!r} too; rename one"
        )
    return Imported(module, attribute or None)


def modules_given(typed: Sequence[str]) -> Sequence[str]:
    """Give the modules that were typed, or those of AMENDS_MODULES."""
    return typed or [name for name in re.split(r"[\s,]+", os.environ.get("AMENDS_MODULES", "")) if name]


def import_given(typed: Sequence[str]) -> bool:
    """Import the modules that were typed, or those of AMENDS_MODULES; tell whether there are any.

    Raises `CommandError`.
    """
    given = modules_given(typed)
    for module in given:
        imported(module)
    return bool(given)


def sagas_in(places: Iterable[Imported]) -> list[AnySaga]:
    """Give the sagas of several modules, each once. Raises `CommandError` for a place without any."""
    found: list[AnySaga] = []
    for place in places:
        sagas = _defined_in(place.module) if place.attribute is None else _named(place)
        if not sagas:
            raise CommandError(f"{place.given!r} defines no saga; decorate one with @saga")
        found += [saga for saga in sagas if saga not in found]
    return found


def saga_called(name: str, modules: Sequence[str]) -> AnySaga:
    """Find a saga by its name in what `modules` define, or by `MODULE:NAME`. Raises `CommandError`."""
    for module in modules:
        imported(module)
    named = [saga for saga in SAGAS.all() if saga.name == name]
    if named:
        return named[-1]
    if ":" in name:
        return _one(imported(name))
    known = ", ".join(sorted({saga.name for saga in SAGAS.all()}))
    if not modules:
        raise CommandError(
            f"where is saga {name!r} defined? Give --module or AMENDS_MODULES, or the saga as MODULE:{name}"
        )
    raise CommandError(f"there is no saga {name!r} in {', '.join(modules)}; there are: {known or 'none'}")


def _one(place: Imported) -> AnySaga:
    sagas = [saga for saga in _defined_in(place.module) if saga.name == place.attribute]
    sagas = sagas or _named(place)
    if len(sagas) != 1:
        raise CommandError(f"{place.given} is {len(sagas)} sagas; name one of them")
    return sagas[0]


def _defined_in(module: ModuleType) -> list[AnySaga]:
    """Give the sagas defined in a module or in what lies in its package, and those that it has imported."""
    name = module.__name__
    here = [saga for saga in SAGAS.all() if f"{saga.fn.__module__}.".startswith(f"{name}.")]
    return here + [item for item in vars(module).values() if isinstance(item, Saga) and item not in here]


def _named(place: Imported) -> list[AnySaga]:
    try:
        item = getattr(place.module, place.attribute or "")
    except AttributeError:
        there = ", ".join(sorted({saga.name for saga in _defined_in(place.module)})) or "none"
        raise CommandError(
            f"module {place.module.__name__!r} has no {place.attribute!r}; its sagas are: {there}"
        ) from None
    items = list(item) if isinstance(item, list | tuple | set | frozenset) else [item]
    if not all(isinstance(one, Saga) for one in items):
        raise CommandError(f"{place.given!r} is neither a saga nor a list of sagas")
    return items


def _import(name: str) -> ModuleType:
    if not all(name.split(".")):
        raise CommandError(f"{name!r} is no module's name")
    interrupted: list[int] = []
    try:
        with _noting_interrupts(interrupted):
            return importlib.import_module(name)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and interrupted:
            raise
        missing = getattr(error, "name", None) if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and f"{name}.".startswith(f"{missing}."):
            raise CommandError(
                f"there is no module {missing!r}; looked in {Path.cwd()} and in Python's own places"
            ) from error
        kind, why = type(error).__name__, one_line(error)
        told = kind if why == kind else f"{kind}: {why}"
        raise CommandError(f"importing {name!r} failed: {told}{_place(error)}") from error


@contextlib.contextmanager
def _noting_interrupts(come: list[int]) -> Iterator[None]:
    """Put the signal into the list if Ctrl-C interrupts the block: a module may raise the like itself."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        come.append(number)
        signal.default_int_handler(number, frame)

    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _place(error: BaseException) -> str:
    """Name the line of the module that raised."""
    if isinstance(error, SyntaxError):
        return ""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<frozen")]
    inner = [frame for frame in frames if frame.filename not in (__file__, importlib.__file__)]
    return f" ({inner[-1].filename}, line {inner[-1].lineno})" if inner else ""


def _dotted(path: Path) -> str:
    """Give the name under which a file is imported, and put the directory that this takes on the path."""
    parts, directory = [path.stem], path.parent
    while (directory / "__init__.py").is_file():
        parts.insert(0, directory.name)
        directory = directory.parent
    if parts[-1] == "__init__":
        parts.pop()
    if not parts or any("." in part for part in parts):
        raise CommandError(f"{path.name} can't be imported: a module's name has no dot in it")
    _on_path(directory)
    return ".".join(parts)


def _on_path(directory: Path) -> None:
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))
