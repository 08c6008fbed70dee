"""When the occurrences of a schedule are: by the clock on the wall, or by elapsed time. Pure.

Cron expressions are read as Debian's cron reads them. Where the clocks change, an expression with a wildcard
(`*`, `*/15`) as its minute or hour goes by what the clock shows: what falls into an hour that is left out
doesn't occur, and what falls into one that comes twice occurs twice. Any other one names times of the day,
each of which occurs once: at the end of the gap where it is left out, the first time where it comes twice.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from amends.sagas import checked
from amends.sagas.errors import InputInvalid

SECOND_MS: Final = 1_000
FIELDS: Final = 5
LONGEST: Final = 1_000
"""Characters of a cron expression."""
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class Timing:
    """The moments of a schedule, in milliseconds: those of `cron` in `timezone`, or one each `every`.

    None comes before `start_at`. An interval is counted from there; without it, from `anchor`, when the
    schedule was put, and then the first occurrence comes one interval later.
    """

    cron: str | None
    every: int | None
    timezone: str
    start_at: int | None
    anchor: int

    def after(self, moment: int) -> int | None:
        """Give the first occurrence after a moment, or None: there is none in fifty years."""
        if self.start_at is not None:
            moment = max(moment, self.start_at - 1)
        if self.every is None:
            return self._by_the_clock(moment)
        origin = self._origin(self.every)
        return origin if moment < origin else moment + self.every - (moment - origin) % self.every

    def last(self, first: int, now: int) -> int:
        """Give the last occurrence until now, if it is later than `first`, one that has come."""
        return self._latest(first, now, 1)

    def among_the_last(self, first: int, now: int, count: int) -> int:
        """Give `first`, one that has come; of more than `count`, the first of the last so many."""
        return self._latest(first, now, count)

    def same_as(self, other: Timing) -> bool:
        """Tell whether it was asked for in the same words; then it goes on with the anchor that it has."""
        return (self.cron, self.every, self.timezone, self.start_at) == (
            other.cron,
            other.every,
            other.timezone,
            other.start_at,
        )

    def _latest(self, first: int, now: int, count: int) -> int:
        if self._number(first, now, count) < count:
            return first
        # The last moment after which as many come until now: found by halving, since cron can't count back.
        early, late = first, now
        while late - early > SECOND_MS:
            middle = (early + late) // 2
            if self._number(middle, now, count) < count:
                late = middle
            else:
                early = middle
        found = self.after(early)
        return first if found is None else found

    def _number(self, moment: int, now: int, most: int) -> int:
        """Count the occurrences after a moment until now, as far as `most`."""
        if self.every is not None:
            origin = self._origin(self.every)
            before = max(-1, (moment - origin) // self.every)
            return min(most, max(-1, (now - origin) // self.every) - before)
        number = 0
        found = self.after(moment)
        while found is not None and found <= now and number < most:
            number += 1
            found = self.after(found) if number < most else None
        return number

    def _origin(self, every: int) -> int:
        return self.anchor + every if self.start_at is None else self.start_at

    def _by_the_clock(self, moment: int) -> int | None:
        start = (_EPOCH + moment * checked.MILLISECOND).astimezone(ZoneInfo(self.timezone))
        for found in CronSim(self.cron or "", start):
            # In an hour that comes twice, a time of the day is the first of the two: it may be over.
            if (at := (found - _EPOCH) // checked.MILLISECOND) > moment:
                return at
        return None


def checked_timing(cron: Any, every: Any, timezone: Any, start_at: Any, now: int) -> Timing:
    """Check when a schedule's occurrences are to be; `now` is milliseconds. Raises `InputInvalid`."""
    if (cron is None) == (every is None):
        raise InputInvalid("a schedule has either cron= or every=: give one of them")
    first = None if start_at is None else _moment(start_at, now)
    if cron is None:
        if timezone is not None:
            raise InputInvalid("every= is elapsed time, which is the same in any timezone=: leave that out")
        return Timing(None, _interval(every), "UTC", first, now // SECOND_MS * SECOND_MS)
    zone = _zone("UTC" if timezone is None else timezone)
    timing = Timing(_expression(cron), None, zone, first, now // SECOND_MS * SECOND_MS)
    if timing.after(now) is None:
        raise InputInvalid(f"cron={cron!r} never comes: no day of the next fifty years is one of its days")
    return timing


def _interval(every: Any) -> int:
    second = dt.timedelta(seconds=1)
    interval = checked.duration(every, "every", InputInvalid, second)
    if interval % second:
        raise InputInvalid(f"every={every!r} must be whole seconds")
    return interval // checked.MILLISECOND


def _moment(start_at: Any, now: int) -> int:
    """Give the first whole second that isn't before a moment, one that can be told in any time zone."""
    if not isinstance(start_at, dt.datetime) or start_at.tzinfo is None:
        raise InputInvalid(f"start_at={start_at!r} must be an aware datetime: with a time zone")
    if abs(start_at - (_EPOCH + now * checked.MILLISECOND)) > checked.LONGEST:
        raise InputInvalid(f"start_at={start_at!r} must be within {checked.LONGEST.days} days of now")
    return -((_EPOCH - start_at) // dt.timedelta(seconds=1)) * SECOND_MS


def _zone(timezone: Any) -> str:
    try:
        return ZoneInfo(timezone).key
    except (KeyError, TypeError, ValueError, OSError):
        raise InputInvalid(
            f"timezone={timezone!r} is no time zone; give a name such as 'Europe/Berlin' or 'UTC'"
        ) from None


def _expression(cron: Any) -> str:
    if not isinstance(cron, str) or len(cron) > LONGEST or len(cron.split()) != FIELDS:
        raise InputInvalid(
            f"cron={str(cron)[:LONGEST]!r} must have five fields: minute, hour, day of the month, month, "
            f"day of the week, and at most {LONGEST:,} characters"
        )
    try:
        CronSim(cron, _EPOCH)
    except (CronSimError, ValueError) as error:
        reason = str(error)
        raise InputInvalid(f"cron={cron!r} can't be read: {reason[:1].lower()}{reason[1:]}") from None
    return " ".join(cron.split())
