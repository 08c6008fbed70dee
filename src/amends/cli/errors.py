"""What goes wrong at the command line, in words that fit on one line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from amends.persistence.errors import AmendsError

MOST_TOLD = 3
LONGEST_VALUE = 60


class CommandError(AmendsError):
    """A command can't do what it was asked to: its message is the one line that the person sees."""


def one_line(error: BaseException) -> str:
    """Put an error into one line; what pydantic says over many lines is told field by field."""
    cause = error.__cause__
    details = None if cause is None else validation(cause)
    if cause is not None and details is not None:
        return flat(str(error)).replace(flat(str(cause)), details)
    return validation(error) or flat(str(error)) or type(error).__name__


def without_password(text: str) -> str:
    """Leave out the password that a URL in a text gives as a parameter."""
    return re.sub(r"(password=)[^&\s]*", r"\1***", text)


def flat(text: str) -> str:
    """Put a text into one line, without control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def validation(error: BaseException) -> str | None:
    """Say which fields don't fit and why, if it is pydantic that complains."""
    errors = getattr(error, "errors", None)
    if type(error).__name__ != "ValidationError" or not callable(errors):
        return None
    found = cast("Sequence[Mapping[str, Any]]", errors(include_url=False, include_context=False))
    told = "; ".join(_problem(problem) for problem in found[:MOST_TOLD])
    more = len(found) - MOST_TOLD
    return f"{told}; and {more} more" if more > 0 else told


def _problem(problem: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in problem["loc"]) or "input"
    if problem["type"] == "missing":
        return f"{place}: required, and missing"
    message = flat(problem["msg"])
    if problem["type"].startswith("json_"):
        return f"{place}: {message}"
    value = flat(repr(problem["input"]))
    shown = value if len(value) <= LONGEST_VALUE else f"{value[:LONGEST_VALUE]}…"
    return f"{place}: {message[:1].lower()}{message[1:]}, not {shown}"
