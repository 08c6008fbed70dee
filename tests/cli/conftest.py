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
    """Give the program in a directory with `shop.py`, and SQLite as its database."""
    shutil.copy(Path(__file__).with_name("shop.py"), tmp_path)
    return Amends(tmp_path, "sqlite:///shop.db", forks)


@pytest.fixture(params=["sqlite", "postgres"])
def amends_on_both(request: pytest.FixtureRequest, tmp_path: Path, forks: Forks) -> Amends:
    """Give the program with either database."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    shutil.copy(Path(__file__).with_name("shop.py"), tmp_path)
    return Amends(tmp_path, url, forks)
