import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.forks import Forks
from tests.cli.processes import Amends


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Give the process in whose forks commands run."""
    with Forks() as running:
        yield running


@pytest.fixture
def amends(tmp_path: Path, forks: Forks) -> Amends:
    """Give the program in a directory with the sagas of these tests, and SQLite as its database."""
    return Amends(with_sagas(tmp_path), "sqlite:///shop.db", forks)


@pytest.fixture(params=["sqlite", "postgres"])
def amends_on_both(request: pytest.FixtureRequest, tmp_path: Path, forks: Forks) -> Amends:
    """Give the program with either database."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return Amends(with_sagas(tmp_path), url, forks)


def with_sagas(directory: Path) -> Path:
    """Put the modules that define sagas into a directory."""
    for name in ("shop.py", "bank.py", "tour.py", "desk.py", "planned.py", "clerks.py"):
        shutil.copy(Path(__file__).with_name(name), directory)
    return directory
