"""Clocks that are set while they are read."""

import math
import time

import pytest

from amends.persistence.clock import GivenClock, ServerClock, SystemClock


class Time:
    """The time that went by, and the clock on the wall, as a test says."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.passed, self.wall = 100.0, 1_700_000_000.0
        patch.setattr(time, "monotonic", lambda: self.passed)
        patch.setattr(time, "time_ns", lambda: round(self.wall * 1_000_000_000))

    def go_by(self, seconds: float) -> None:
        self.passed += seconds
        self.wall += seconds


@pytest.fixture
def going(monkeypatch: pytest.MonkeyPatch) -> Time:
    return Time(monkeypatch)


def test_a_clock_that_nobody_sets_is_steady(going: Time) -> None:
    clock = SystemClock()
    for _ in range(3):
        assert clock.now() == round(going.wall * 1000)
        going.go_by(5)
    assert clock.steady_for() == math.inf


@pytest.mark.parametrize("by", [7_200, -7_200, 2, -2])
def test_a_clock_that_was_set_is_steady_again_after_a_while(going: Time, by: float) -> None:
    clock = SystemClock()
    clock.now()
    going.wall += by
    assert clock.steady_for() == 0
    going.go_by(7)
    assert clock.steady_for() == 7


def test_a_clock_that_drifts_is_steady(going: Time) -> None:
    clock = SystemClock()
    for _ in range(100):
        clock.now()
        going.go_by(1)
        going.wall += 0.5
    assert clock.steady_for() == math.inf


def test_a_servers_clock_that_was_set_is_noticed_and_never_goes_back(going: Time) -> None:
    clock = ServerClock()
    clock.observe(1_000_000, going.passed, going.passed)
    assert clock.steady_for() == math.inf
    before = clock.now()
    going.go_by(3)
    clock.observe(1_003_010, going.passed, going.passed)
    assert clock.steady_for() == math.inf
    clock.observe(1_003_010 - 7_200_000, going.passed, going.passed)
    assert clock.steady_for() == 0
    assert clock.now() >= before
    going.go_by(4)
    assert clock.steady_for() == 4


def test_a_clock_that_a_caller_gives_is_believed() -> None:
    clock = GivenClock(lambda: 5)
    assert (clock.now(), clock.steady_for()) == (5, math.inf)
