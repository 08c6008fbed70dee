import os
import tempfile
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from tests.crash.children import Zygote
from tests.crash.cycles import Bench
from tests.crash.stores import Store, postgres_store, sqlite_store
from tests.crash.tally import Tally, keep
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


@pytest.fixture(scope="session")
def seed(testrun_uid: str) -> str:
    """Give what the kill matrix is named for; the same one gives the same runs the same ids."""
    return os.environ.get("AMENDS_SEED") or testrun_uid


@pytest.fixture
def bench(request: pytest.FixtureRequest, world: World, zygote: Zygote, store: Store, seed: str) -> Bench:
    return Bench(world, zygote, store, f"{seed}|{request.node.nodeid}")


@pytest.fixture
def tally(
    request: pytest.FixtureRequest, seed: str, record_property: Callable[[str, object], None]
) -> Iterator[Tally]:
    """Give what counts the cycles of a test; kept in the folder AMENDS_KILLS, where one is named."""
    chosen = request.node.callspec.params
    folder = os.environ.get("AMENDS_KILLS")
    found = Tally(chosen["case"].name, chosen["store"], seed)
    yield found
    record_property("cycles", f"{found.scenario}|{found.store}|{found.cycles}")
    if folder:
        keep(found, Path(folder))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Count a test of the kill matrix that fails as a breach: the page is to say so."""
    report = yield
    found = item.funcargs.get("tally") if isinstance(item, pytest.Function) else None
    if report.failed and isinstance(found, Tally):
        found.breaches += 1
    return report


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
