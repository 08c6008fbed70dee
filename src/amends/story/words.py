"""Times, durations and texts as people read them; moments and durations are milliseconds."""

from __future__ import annotations

import datetime as dt

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

STEPS = (("d", DAY, "h", HOUR), ("h", HOUR, "min", MINUTE), ("min", MINUTE, "s", SECOND))


def duration(ms: int) -> str:
    """Say how long: `8 ms`, `1.2 s`, `42 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`."""
    if ms < SECOND:
        return f"{max(ms, 0)} ms"
    if ms < 10 * SECOND:
        return f"{ms // 100 / 10:g} s"
    for unit, size, smaller, part in STEPS:
        if ms >= size:
            rest = ms % size // part
            return f"{ms // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{ms // SECOND} s"


def roughly(ms: int) -> str:
    """Say how long in one unit: `12 s`, `3 min`, `2 h`, `5 d`."""
    for unit, size, _, _ in STEPS:
        if ms >= size:
            return f"{ms // size} {unit}"
    return f"{max(ms, 0) // SECOND} s"


def relative(at: int, now: int) -> str:
    """Say when, seen from now: `in 1 h 56 min`, `3 min ago`."""
    if at > now:
        return f"in {duration(max(at - now, SECOND) // SECOND * SECOND)}"
    return f"{roughly(now - at)} ago"


def clock(at: int, *, date: bool) -> str:
    """Give the local time, with its date where that isn't clear."""
    moment = dt.datetime.fromtimestamp(at / 1000, dt.UTC).astimezone()
    return f"{moment:%Y-%m-%d %H:%M:%S}" if date else f"{moment:%H:%M:%S}"


def same_day(first: int, second: int) -> bool:
    """Tell whether two moments are on the same local day."""
    return clock(first, date=True)[:10] == clock(second, date=True)[:10]


def when(at: int, now: int) -> str:
    """Give a moment both ways: `14:32:05 (3 min ago)`, with the date where it isn't today."""
    return f"{clock(at, date=not same_day(at, now))} ({relative(at, now)})"


def iso(at: int | None) -> str | None:
    """Give a moment for a machine: ISO 8601, UTC, with milliseconds."""
    if at is None:
        return None
    return (
        dt.datetime.fromtimestamp(at / 1000, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
