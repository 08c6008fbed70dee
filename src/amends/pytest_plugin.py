"""The pytest plugin: fixtures and options for tests of sagas.

pytest loads it in every project that has amends installed, so it imports nothing of amends until a test asks
for one of its fixtures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from amends.sagas import SyncCoordinator
    from amends.sagas.testing import VirtualClock

SEEDS = 200


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that repeat one seed or one schedule."""
    group = parser.getgroup("amends")
    group.addoption(
        "--amends-seed",
        type=int,
        metavar="SEED",
        help="the only seed in the fixture amends_seeds: simulate(..., seeds=amends_seeds) repeats it",
    )
    group.addoption(
        "--amends-schedule",
        metavar="SCHEDULE",
        help="what the fixture amends_schedule gives, for crash_test(..., schedule=amends_schedule)",
    )


@pytest.fixture
def amends_database(tmp_path: Path) -> str:
    """Give the URL of a fresh SQLite database."""
    return f"sqlite:///{tmp_path / 'amends.db'}"


@pytest.fixture
def amends_clock() -> VirtualClock:
    """Give a clock that stands still until it is moved."""
    from amends.sagas.testing import VirtualClock  # noqa: PLC0415 - only where a test asks for it

    return VirtualClock()


@pytest.fixture
def amends_coordinator(amends_database: str, amends_clock: VirtualClock) -> Iterator[SyncCoordinator]:
    """Give a blocking coordinator on `amends_database`, under `amends_clock`.

    An async test opens its own on its own loop: `Coordinator(amends_database, clock=amends_clock)`.
    """
    from amends.sagas import Coordinator  # noqa: PLC0415 - as above

    with Coordinator.sync(amends_database, clock=amends_clock) as coordinator:
        yield coordinator


@pytest.fixture
def amends_seeds(request: pytest.FixtureRequest) -> Sequence[int]:
    """Give the seeds for `simulate`: 200, or the one named by `--amends-seed`."""
    seed: int | None = request.config.getoption("--amends-seed")
    return range(SEEDS) if seed is None else [seed]


@pytest.fixture
def amends_schedule(request: pytest.FixtureRequest) -> str | None:
    """Give the schedule for `crash_test`: all of them (None), or the one named by `--amends-schedule`."""
    schedule: str | None = request.config.getoption("--amends-schedule")
    return schedule
