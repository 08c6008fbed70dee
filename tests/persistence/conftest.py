from collections.abc import Iterator

import pytest

from amends.persistence.database import Database
from tests.persistence.workers import Clock, Worker, log


@pytest.fixture
def clock() -> Clock:
    """Give the clock by which the log works; it stands until it is moved."""
    return Clock()


@pytest.fixture
def database(database_url: str, clock: Clock) -> Iterator[Database]:
    """Give a fresh log on either store."""
    with log(database_url, clock=clock) as opened:
        yield opened


@pytest.fixture
def worker(database: Database) -> Worker:
    """Give a worker of the log."""
    return Worker(database, "ann")
