"""Options and texts, checked where they come in: each gives the value back, or says what to give instead."""

from __future__ import annotations

import inspect
import re
import unicodedata
from datetime import timedelta
from typing import Any

from amends.sagas.errors import AmendsError, DefinitionError, InputInvalid

LONGEST_NAME = 500
LONGEST_SHOWN = 200
"""So many characters of a value that is refused are shown."""
LONGEST = timedelta(days=36_500)
"""No duration is longer: its end must still be a moment that can be told."""

MILLISECOND = timedelta(milliseconds=1)
QUEUE_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
Errors = type[BaseException] | tuple[type[BaseException], ...]


def count(value: Any, what: str, error: type[AmendsError] = InputInvalid) -> int:
    """Check a number of things, at least one."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise error(f"{what}={value!r} must be a whole number")
    if value < 1:
        raise error(f"{what}={value} must be at least 1")
    return value


def duration(value: Any, what: str, error: type[AmendsError], least: timedelta = MILLISECOND) -> timedelta:
    """Check a duration: a `timedelta`, neither shorter than `least` nor longer than a hundred years."""
    if not isinstance(value, timedelta):
        raise error(f"{what}={value!r} must be a timedelta, such as timedelta(seconds=5)")
    if not least <= value <= LONGEST:
        floor = "0" if not least else f"{least / MILLISECOND:g} ms"
        raise error(f"{what}={value!r} must be at least {floor} and at most {LONGEST.days} days")
    return value


def name(value: Any, what: str) -> str:
    """Check a name that is stored with runs. Raises `DefinitionError`."""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_NAME or not value.isprintable():
        raise DefinitionError(f"{what} is a printable text of 1 to {LONGEST_NAME} characters, not {value!r}")
    return value


def person(value: Any, what: str, error: type[AmendsError] = InputInvalid) -> str:
    """Check who somebody is, and give the one spelling (NFC) of a name that can be typed in several."""
    if (
        not isinstance(value, str)
        or not 0 < len(value) <= LONGEST_NAME
        or not value.isprintable()
        or value != value.strip()
    ):
        raise error(
            f"{what} is a printable text of 1 to {LONGEST_NAME} characters, without spaces around it, "
            f"not {_shortened(value)}"
        )
    return unicodedata.normalize("NFC", value)


def flag(value: Any, what: str) -> bool:
    """Check a yes or no: "no" and "false" are texts, and would count as yes. Raises `InputInvalid`."""
    if not isinstance(value, bool):
        raise InputInvalid(f"{what}={value!r} must be True or False")
    return value


def an_id(value: Any, what: str) -> str:
    """Check that an id is a text; any text may be asked for. Raises `InputInvalid`."""
    if not isinstance(value, str):
        raise InputInvalid(f"{what} is a text, not {_shortened(value)}")
    return value


def version(value: Any, what: str) -> str:
    """Check a version, a text or a whole number. Raises `DefinitionError`."""
    return name(str(value) if type(value) is int else value, what)


def errors(value: Any, what: str) -> tuple[type[BaseException], ...]:
    """Check one exception class, or a tuple of them; gives a tuple. Raises `DefinitionError`."""
    kinds = value if isinstance(value, tuple) else (value,)
    for kind in kinds:
        if not isinstance(kind, type) or not issubclass(kind, BaseException):
            raise DefinitionError(f"{what} takes an exception class or a tuple of them, not {kind!r}")
    return kinds


def function(fn: Any, what: str) -> None:
    """Check that it is a function, maybe a decorated one, and returns once. Raises `DefinitionError`."""
    inner = inspect.unwrap(fn) if callable(fn) else fn
    if not (inspect.isfunction(inner) or inspect.ismethod(inner)):
        raise _no_function(fn, what)
    returning(fn, what)


def returning(fn: Any, what: str) -> None:
    """Check that it can be called and returns once. Raises `DefinitionError`."""
    if not callable(fn) or isinstance(fn, type):
        raise _no_function(fn, what)
    if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        raise DefinitionError(f"{what}: {fn!r} yields; it must return its result, once")


def _no_function(fn: Any, what: str) -> DefinitionError:
    return DefinitionError(f"{what}: {fn!r} is no function; define one with `def` or `async def`")


def storable(value: str | None, what: str) -> str | None:
    """Check a text that somebody gives for the record. Raises `InputInvalid` where no database takes it."""
    if value is not None and not isinstance(value, str):
        raise InputInvalid(f"{what} is a text, not {_shortened(value)}")
    if value is not None and ("\0" in value or any("\ud800" <= c <= "\udfff" for c in value)):
        raise InputInvalid(f"{what} holds a character that can't be stored: {value!r}")
    return value


def _shortened(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= LONGEST_SHOWN else f"{shown[:LONGEST_SHOWN]}…"


def queue_name(value: Any, what: str, error: type[AmendsError], *, default: bool = False) -> str:
    """Check a queue's name: letters, digits, dots, dashes and underscores; "default" only where that fits."""
    if not isinstance(value, str) or not QUEUE_NAME.fullmatch(value):
        raise error(
            f"{what} takes a name of 1 to 100 letters, digits, dots, dashes and underscores, "
            f"not {_shortened(value)}"
        )
    if value == "default" and not default:
        raise error(f'{what} can\'t be "default": those are the runs that never wait for a place')
    return value
