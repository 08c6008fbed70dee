"""Times, durations and texts as people read them; moments and durations are milliseconds."""

from __future__ import annotations

import datetime as dt

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def duration(ms: int) -> str:
    """Say how long: `8 ms`, `1.2 s`, `42 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`."""
    ms = max(ms, 0)
    if ms < SECOND:
        return f"{ms} ms"
    if ms < 10 * SECOND:
        return f"{ms // 100 / 10:g} s"
    if ms < MINUTE:
        return f"{ms // SECOND} s"
    for unit, size, smaller, part in (
        ("min", MINUTE, "s", SECOND),
        ("h", HOUR, "min", MINUTE),
        ("d", DAY, "h", HOUR),
    ):
        if ms < size * (part and (60 if unit != "h" else 24)) or unit == "d":
            rest = ms % size // part
            return f"{ms // size} {unit} {rest} {smaller}" if rest else f"{ms // size} {unit}"
    return ""
