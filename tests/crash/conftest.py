import os
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.children import Zygote
from tests.crash.cycles import Bench
from tests.crash.stores import Store, postgres_store, sqlite_store
from tests.crash.world import World


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """Give the world, in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="amends-world-") as name, World(Path(name)) as opened:
        yield opened


@pytest.fixture(scope="session")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    """Give the parent of the processes that are killed."""
    if not hasattr(os, "pidfd_open"):
        pytest.skip("watching for the end of a grandchild needs Linux")
    with Zygote(tmp_path_factory.mktemp("children")) as opened:
        yield opened


@pytest.fixture(scope="session")
def sqlite_databases(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return sqlite_store(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(scope="session")
def postgres_databases(postgres_server: str) -> Store:
    return postgres_store(postgres_server)


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest) -> Store:
    """Give databases of either kind."""
    found: Store = request.getfixturevalue(f"{request.param}_databases")
    return found


@pytest.fixture
def bench(world: World, zygote: Zygote, store: Store) -> Bench:
    return Bench(world, zygote, store)


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many cycles were made of which scenario on which store."""
    table: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "cycles" and isinstance(value, str):
                scenario, store, count = value.rsplit("|", 2)
                table[scenario][store] = table[scenario].get(store, 0) + int(count)
    if table:
        terminalreporter.section("kill matrix: cycles")
        for scenario, stores in sorted(table.items()):
            terminalreporter.line(
                f"{scenario:40}" + "".join(f"{store:>10} {n:5}" for store, n in sorted(stores.items()))
            )
        terminalreporter.line(f"{'all':40}{sum(sum(stores.values()) for stores in table.values()):16}")
