"""What people type after options: moments, and attributes of runs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Final

from amends.cli.errors import CommandError
from amends.sagas.attributes import AttributeValue, searched
from amends.story.shown import value_of
from amends.story.words import DAY, HOUR, MINUTE, SECOND

AGO: Final = {"s": SECOND, "m": MINUTE, "min": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}


def moment(text: str, now: int) -> int:
    """Read a moment: an ISO date or time, local unless it says otherwise, or how long ago (`2h`, `3d`).

    Raises `CommandError`.
    """
    digits = text.rstrip("abcdefghijklmnopqrstuvwxyz ")
    unit = text[len(digits) :].strip()
    try:
        if digits.isascii() and digits.isdigit() and unit in AGO:
            return max(0, now - int(digits) * AGO[unit])
        return round(dt.datetime.fromisoformat(text).astimezone().timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        raise CommandError(
            f"--since takes a date (2026-11-22), a time (2026-11-22T14:30) or an age (2h, 3d), not {text!r}"
        ) from None


def attributes(said: Sequence[str] | None) -> dict[str, AttributeValue]:
    """Read attributes as they are typed, NAME=VALUE. Raises `CommandError`, `InputInvalid`.

    A value is a number, `true`, `false` or a moment with its time zone where it looks like one, and a text
    otherwise; in quotation marks it is always a text.
    """
    found: dict[str, AttributeValue] = {}
    for each in said or ():
        name, is_given, value = each.partition("=")
        if not is_given or name in found:
            raise CommandError(f"--attribute takes NAME=VALUE, once for each name, not {each!r}")
        found[name] = value_of(value)
    searched(found, "--attribute")
    return found
