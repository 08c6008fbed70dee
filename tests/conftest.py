import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import new_database, running_postgres

ROOT = Path(__file__).resolve().parent.parent
LINKED = ("agents", "persistence", "sagas", "tracing")
HOW_TO_LINK = (
    "src/amends/{} is no link: allow links (on Windows: Developer Mode), then run"
    " `git config core.symlinks true && git checkout -- src/amends`."
)


def pytest_configure() -> None:
    for name in LINKED:
        if not (ROOT / "src" / "amends" / name).is_dir():
            pytest.exit(HOW_TO_LINK.format(name), returncode=pytest.ExitCode.USAGE_ERROR)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse to go on where tests that share something dear would each make it anew."""
    grouped = (item for item in session.items if item.get_closest_marker("xdist_group"))
    if getattr(session.config.option, "loadgroup", False) and any("@" not in item.nodeid for item in grouped):
        pytest.exit("this pytest-xdist keeps no groups together under this pytest: see pyproject.toml")


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """Give the URL of a fresh SQLite file."""
    return f"sqlite:///{tmp_path / 'amends.db'}"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Give the URL of a server: `AMENDS_TEST_POSTGRES_URL`, or a private one for this test process.

    The private one doesn't fsync; `tests.postgres` says why that proves what it must.
    """
    given = os.environ.get("AMENDS_TEST_POSTGRES_URL")
    if given:
        yield given
        return
    with running_postgres() as url:
        yield url


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """Give the URL of a fresh PostgreSQL database."""
    with new_database(postgres_server) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Give the URL of a fresh database of either kind: what passes on one must pass on the other."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url
