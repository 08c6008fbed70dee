"""When the occurrences of a schedule are, above all where the clocks change."""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amends.sagas import InputInvalid
from amends.sagas.occurrences import Timing, checked_timing

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
MS = dt.timedelta(milliseconds=1)
HOUR = 3_600_000
DAY = 24 * HOUR


def ms(text: str, zone: str = "UTC") -> int:
    """Read a moment, by the clock in a zone; the first of two where it comes twice."""
    moment = dt.datetime.fromisoformat(text)
    return ((moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))) - EPOCH) // MS


def shown(moment: int, zone: str) -> str:
    return f"{(EPOCH + moment * MS).astimezone(ZoneInfo(zone)):%d %H:%M %Z}"


def occurrences(cron: str, zone: str, start: str, count: int) -> list[str]:
    """Give the first occurrences after a moment, as the clock in the zone shows them."""
    moment = ms(start, zone)
    timing, found = checked_timing(cron, None, zone, None, moment), []
    for _ in range(count):
        moment = timing.after(moment) or 0
        found.append(shown(moment, zone))
    return found


BERLIN = "Europe/Berlin"
AHEAD = dt.timezone(dt.timedelta(hours=14))


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("30 2 * * *", ["29 03:00 CEST", "30 02:30 CEST"]),
        ("0,30 2 * * *", ["29 03:00 CEST", "30 02:00 CEST"]),
        ("0 2,3 * * *", ["29 03:00 CEST", "30 02:00 CEST"]),
        ("0 3 * * *", ["29 03:00 CEST", "30 03:00 CEST"]),
        ("*/20 * * * *", ["29 01:40 CET", "29 03:00 CEST"]),
        ("0 * * * *", ["29 03:00 CEST", "29 04:00 CEST"]),
        ("*/30 2 * * *", ["30 02:00 CEST", "30 02:30 CEST"]),
        ("0 */2 * * *", ["29 04:00 CEST", "29 06:00 CEST"]),
    ],
)
def test_a_time_of_the_day_in_the_hour_that_is_left_out_comes_at_its_end(
    cron: str, expected: list[str]
) -> None:
    """Once, at 03:00; with a wildcard as minute or hour it is left out with the hour."""
    assert occurrences(cron, BERLIN, "2026-03-29T01:20", 2) == expected


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("30 2 * * *", ["25 02:30 CEST", "26 02:30 CET"]),
        ("0,30 2 * * *", ["25 02:00 CEST", "25 02:30 CEST", "26 02:00 CET"]),
        ("0 3 * * *", ["25 03:00 CET", "26 03:00 CET"]),
        ("*/30 * * * *", ["25 02:00 CEST", "25 02:30 CEST", "25 02:00 CET", "25 02:30 CET", "25 03:00 CET"]),
        ("0 * * * *", ["25 02:00 CEST", "25 02:00 CET", "25 03:00 CET"]),
        ("*/30 2 * * *", ["25 02:00 CEST", "25 02:30 CEST", "25 02:00 CET", "25 02:30 CET", "26 02:00 CET"]),
        ("0 */2 * * *", ["25 02:00 CEST", "25 02:00 CET", "25 04:00 CET"]),
    ],
)
def test_a_time_of_the_day_in_the_hour_that_comes_twice_comes_the_first_time(
    cron: str, expected: list[str]
) -> None:
    """Once, and with a wildcard as minute or hour both times."""
    assert occurrences(cron, BERLIN, "2026-10-25T01:45", len(expected)) == expected


def test_asked_in_the_second_of_two_hours_a_time_of_the_day_is_over() -> None:
    """What came the first time isn't found again."""
    second = ms("2026-10-25T02:10+01:00")
    timing = checked_timing("30 2 * * *", None, BERLIN, None, second)
    assert shown(timing.after(second) or 0, BERLIN) == "26 02:30 CET"


def test_intervals_are_elapsed_time_whatever_the_clocks_do() -> None:
    """A day is 24 hours, also where the clock on the wall shows another time then."""
    start = ms("2026-10-24T09:00", BERLIN)
    timing = checked_timing(None, dt.timedelta(days=1), None, EPOCH + start * MS, start - DAY)
    found = [timing.after(start - 1) or 0]
    for _ in range(2):
        found.append(timing.after(found[-1]) or 0)
    assert [shown(moment, BERLIN) for moment in found] == ["24 09:00 CEST", "25 08:00 CET", "26 08:00 CET"]


@pytest.mark.parametrize("start_at", [None, 10_500])
def test_an_interval_is_counted_from_its_start_or_from_when_it_was_put(start_at: int | None) -> None:
    """With `start_at` the first comes there (the next whole second), without it one interval later."""
    begins = None if start_at is None else EPOCH + start_at * MS
    timing = checked_timing(None, dt.timedelta(seconds=4), None, begins, 1_500)
    first = 11_000 if start_at else 5_000
    assert timing.after(0) == first
    assert [timing.after(first + late) for late in (-1, 0, 1, 3_999, 4_000, 41_000)] == [
        first + later for later in (0, 4_000, 4_000, 4_000, 8_000, 44_000)
    ]


def test_nothing_of_a_cron_expression_comes_before_its_start() -> None:
    """`start_at` itself is the first moment that may be one."""
    start = dt.datetime(2026, 5, 1, 9, tzinfo=dt.UTC)
    timing = checked_timing("0 9 * * *", None, None, start, 0)
    assert timing.after(0) == ms("2026-05-01T09:00")


ZONES = ["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Kathmandu"]
CRONS = [
    "30 2 * * *",
    "*/17 * * * *",
    "0 0 * * *",
    "15 */3 * * *",
    "5,45 1,2 * * 1-5",
    "0 12 1 * *",
    "1 0 L * *",
]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(ZONES), st.sampled_from(CRONS), st.integers(ms("2025-01-01"), ms("2027-01-01")))
def test_the_next_occurrence_is_the_same_from_wherever_one_asks(zone: str, cron: str, moment: int) -> None:
    """It is later than the moment, and no question in between finds another: none is lost or comes twice."""
    timing = checked_timing(cron, None, zone, None, moment)
    first = timing.after(moment) or 0
    following = timing.after(first) or 0
    assert moment < first < following
    for part in range(5):
        assert timing.after(first + (following - first) * part // 5) == following
    assert timing.after(following - 1) == following


TIMINGS = st.one_of(
    st.builds(lambda s: Timing(None, s * 1_000, "UTC", None, 0), st.integers(1, 100_000)),
    st.builds(lambda c, z: Timing(c, None, z, None, 0), st.sampled_from(CRONS), st.sampled_from(ZONES)),
)


@settings(max_examples=60, deadline=None)
@given(TIMINGS, st.integers(ms("2026-01-01"), ms("2026-12-31")), st.integers(0, 60 * DAY), st.integers(1, 4))
def test_the_last_ones_are_those_that_one_finds_by_going_through_all(
    timing: Timing, start: int, gone: int, count: int
) -> None:
    """However many have come, the last is found by halving."""
    first = timing.after(start) or 0
    now, come = first + min(gone, 400 * (timing.every or DAY)), [first]
    while (found := timing.after(come[-1])) is not None and found <= now:
        come.append(found)
    assert timing.last(first, now) == come[-1]
    assert timing.among_the_last(first, now, count) == come[-count:][0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "either cron= or every="),
        ({"cron": "* * * * *", "every": dt.timedelta(1)}, "either cron= or every="),
        ({"cron": "61 * * * *"}, "bad minute"),
        ({"cron": "0 0 * *"}, "five fields"),
        ({"cron": "*/10 * * * * *"}, "five fields"),
        ({"cron": 5}, "five fields"),
        ({"cron": "0 0 30 2 *"}, "bad day-of-month"),
        ({"cron": "0 0 */20 * 1L"}, "never comes"),
        ({"cron": "0 9 * * *", "timezone": "Berlin"}, "no time zone"),
        ({"cron": "0 9 * * *", "timezone": "../etc/passwd"}, "no time zone"),
        ({"cron": "0 9 * * *", "timezone": 3}, "no time zone"),
        ({"cron": "0 9 * * *", "start_at": dt.datetime(2026, 1, 1)}, "aware"),  # noqa: DTZ001 - on purpose
        ({"every": dt.timedelta(1), "start_at": dt.datetime.max.replace(tzinfo=dt.UTC)}, "of now"),
        ({"every": dt.timedelta(1), "start_at": dt.datetime.min.replace(tzinfo=AHEAD)}, "of now"),
        ({"cron": "0 9 * * *", "start_at": dt.datetime.max.replace(tzinfo=dt.UTC)}, "of now"),
        ({"cron": "1" * 900 + " * * * *"}, "bad minute"),
        ({"cron": "1" * 5_000 + " * * * *"}, "at most 1,000 characters"),
        ({"every": 60}, "timedelta"),
        ({"every": dt.timedelta(milliseconds=500)}, "at least 1000 ms"),
        ({"every": dt.timedelta(seconds=1.5)}, "whole seconds"),
        ({"every": dt.timedelta(1), "timezone": BERLIN}, "elapsed time"),
    ],
)
def test_a_plan_that_means_nothing_is_refused(options: dict[str, Any], words: str) -> None:
    """House style 4: the error says what to give instead."""
    given_: dict[str, Any] = {"cron": None, "every": None, "timezone": None, "start_at": None, **options}
    with pytest.raises(InputInvalid, match=words):
        checked_timing(**given_, now=0)
