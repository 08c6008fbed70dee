"""A run's input as typed, turned into a saga's arguments."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from amends.cli.errors import CommandError
from amends.cli.modules import AnySaga
from amends.sagas.arguments import json_type

EMPTY = inspect.Parameter.empty
VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def arguments_from(saga: AnySaga, given: str | None) -> list[Any]:
    """Give the positional arguments that `--input` stands for. Raises `CommandError`."""
    arguments = saga.arguments
    if given is None and any(p.default is EMPTY and p.kind not in VARIADIC for p in arguments.parameters):
        raise CommandError(f"{arguments.what} takes {', '.join(arguments.names)}: give --input")
    value = None if given is None else parsed(given)
    named = {} if given is None else by_name(saga, value)
    for parameter in arguments.parameters:
        if _only_by_name(parameter) and parameter.name in named:
            raise CommandError(
                f"{arguments.what}: {parameter.name!r} is keyword-only; start() takes positions"
            )
    hints = arguments.hints()
    full = {
        parameter.name: named[parameter.name]
        if parameter.name in named
        else _default(parameter, hints.get(parameter.name, Any), arguments.what)
        for parameter in arguments.parameters
    }
    try:
        decoded = arguments.json.decode(json.dumps(full).encode())
    except ValueError as error:
        raise CommandError(f"{arguments.what}{_misnamed(arguments.names, named, value)}: {error}") from error
    return _positions(saga, decoded)


def parsed(given: str, option: str = "--input") -> Any:
    """Parse JSON from the command line, from a file (`@file`) or from stdin (`@-`). Raises `CommandError`."""
    source, text = _text(given, option)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        hint = "" if source != option else f"; quote it for the shell: {option} '{{\"name\": 1}}'"
        raise CommandError(
            f"{source} is no JSON: line {error.lineno}, column {error.colno}: {error.msg}{hint}"
        ) from error
    except RecursionError as error:
        raise CommandError(f"{source} is nested too deeply") from error


def by_name(saga: AnySaga, value: Any) -> Mapping[str, Any]:
    """Decide which parameters a value stands for: an object by name, or the only argument's value.

    Raises `CommandError` for an object with other names, or without one that is required.
    """
    parameters = saga.arguments.parameters
    names = [parameter.name for parameter in parameters]
    required = [p.name for p in parameters if p.default is EMPTY and p.kind not in VARIADIC]
    what, takes = saga.arguments.what, ", ".join(names) or "no input"
    if not _names_parameters(value, names):
        only = names if len(names) == 1 else required
        if len(only) == 1:
            return {only[0]: value}
        if not isinstance(value, dict):
            raise CommandError(f"{what} takes {takes}: give an object by these names, not one value")
    if unknown := [name for name in value if name not in names]:
        raise CommandError(f"{what} has no parameter {unknown[0]!r}; it takes {takes}")
    if missing := [name for name in required if name not in value]:
        raise CommandError(f"{what}: the input lacks {', '.join(missing)}; it takes {takes}")
    named: Mapping[str, Any] = value
    return named


def _misnamed(names: Sequence[str], named: Mapping[str, Any], value: Any) -> str:
    """Say what may be wrong: an object that was taken for the only argument may have meant parameters."""
    unknown = [name for name in value if name not in names] if isinstance(value, dict) else []
    if not unknown or named is value:
        return ": the input doesn't fit"
    only = next(iter(named))
    return (
        f" has no parameter {unknown[0]!r}, it takes {', '.join(names)}; taken for {only!r}, the input"
        " doesn't fit"
    )


def _names_parameters(value: Any, names: list[str]) -> bool:
    if not isinstance(value, dict):
        return False
    return set(value) == set(names) if len(names) == 1 else not value.keys().isdisjoint(names)


def _text(given: str, option: str) -> tuple[str, str]:
    if not given.startswith("@"):
        return option, given
    try:
        if given == "@-":
            return "stdin", sys.stdin.buffer.read().decode("utf-8-sig")
        return given[1:], Path(given[1:]).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise CommandError(f"the input {given[1:]!r} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"the input {given[1:]!r} is not UTF-8 (byte {error.start})") from error


def _default(parameter: inspect.Parameter, annotation: Any, what: str) -> Any:
    """Give the JSON value of a parameter that the input leaves out."""
    if parameter.kind in VARIADIC:
        return [] if parameter.kind is inspect.Parameter.VAR_POSITIONAL else {}
    return json.loads(
        json_type(annotation, f"{what}: parameter {parameter.name!r}").encode(parameter.default)
    )


def _only_by_name(parameter: inspect.Parameter) -> bool:
    return parameter.kind in (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD)


def _positions(saga: AnySaga, values: Mapping[str, Any]) -> list[Any]:
    positions: list[Any] = []
    for parameter in saga.arguments.parameters:
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            positions.extend(values[parameter.name])
        elif not _only_by_name(parameter):
            positions.append(values[parameter.name])
    return positions
