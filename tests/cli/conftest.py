import shutil
from pathlib import Path

import pytest

from tests.cli.processes import Amends


def shop_in(directory: Path, url: str) -> Amends:
    shutil.copy(Path(__file__).with_name("shop.py"), directory)
    return Amends(directory, url)


@pytest.fixture
def amends(tmp_path: Path) -> Amends:
    """Give the program in a directory with `shop.py`, and SQLite as its database."""
    return shop_in(tmp_path, "sqlite:///shop.db")


@pytest.fixture(params=["sqlite", "postgres"])
def amends_on_both(request: pytest.FixtureRequest, tmp_path: Path) -> Amends:
    """Give the program with either database."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return shop_in(tmp_path, url)
