"""Texts and JSON that come from anywhere, made fit to be stored and sent."""

from __future__ import annotations

import json
import math
import re
from typing import Any

LONGEST_EXCERPT = 600
NO_NAME = re.compile(r"[^A-Za-z0-9_-]")
LONGEST_NAME = 64
"""Characters of a tool's name that a provider takes."""


def clean(text: str) -> str:
    """Replace lone surrogates: no UTF-8 has them, so they can be neither sent nor stored."""
    try:
        text.encode()
    except UnicodeEncodeError:
        # A pair of them, as a careless decoder leaves it, is one character.
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def plain(value: Any) -> Any:
    """Give JSON that every database and server takes: texts cleaned, NaN and the infinities as null.

    Raises `TypeError` for what has no JSON form, and `RecursionError` for what is nested too deeply.
    """
    if isinstance(value, str):
        return clean(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {clean(_key(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    raise TypeError(f"{type(value).__qualname__} has no JSON form")


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    raise TypeError(f"the key {key!r} is no text")


def as_json(value: Any) -> str:
    """Give a value that came as JSON as text again, the same text for the same value."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def parsed(text: str) -> Any:
    """Read strict JSON, without NaN. Raises `ValueError`, also for what is nested too deeply."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def is_object(text: str) -> bool:
    """Tell whether a text is a JSON object."""
    try:
        return isinstance(parsed(text), dict)
    except ValueError:
        return False


def sendable_name(name: str) -> str:
    """Give a tool's name in the characters that providers take; a model may have asked for any."""
    return NO_NAME.sub("_", name)[:LONGEST_NAME] or "_"


def excerpt(text: str, longest: int = LONGEST_EXCERPT) -> str:
    """Cut a text for an error's message: one line, without what a terminal would obey."""
    short = "".join(c if c.isprintable() else " " for c in clean(text[: longest * 2]))
    short = " ".join(short.split())
    return short if len(short) <= longest else f"{short[:longest]}…"
