"""Why a value doesn't fit, in words that fit on one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

_MOST_TOLD: Final = 3
_LONGEST_VALUE: Final = 60


def told(error: BaseException) -> str:
    """Put an error into one line; what pydantic says over many lines is told field by field."""
    return _fields(error) or flat(_text(error)) or type(error).__name__


def flat(text: str) -> str:
    """Put a text into one line, without control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _text(error: BaseException) -> str:
    """Give an error's own words; one that can't even say them has none."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - any class may raise here, and its name is told instead
        return ""


def _fields(error: BaseException) -> str | None:
    """Say which fields don't fit and why, if it is pydantic that complains."""
    errors = getattr(error, "errors", None)
    if type(error).__name__ != "ValidationError" or not callable(errors):
        return None
    found = cast("Sequence[Mapping[str, Any]]", errors(include_url=False, include_context=False))
    problems = "; ".join(_problem(problem) for problem in found[:_MOST_TOLD])
    more = len(found) - _MOST_TOLD
    return f"{problems}; and {more} more" if more > 0 else problems


def _problem(problem: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in problem["loc"])
    where = f"{place}: " if place else ""
    if problem["type"] == "missing":
        return f"{where}required, and missing"
    message = flat(problem["msg"])
    if problem["type"].startswith("json_"):
        return f"{where}{message}"
    value = flat(repr(problem["input"]))
    shown = value if len(value) <= _LONGEST_VALUE else f"{value[:_LONGEST_VALUE]}…"
    return f"{where}{message[:1].lower()}{message[1:]}, not {shown}"
