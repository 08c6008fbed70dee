"""The pytest plugin, in a pytest of its own: light to load, its fixtures and options, with xdist too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SAGAS = """
import datetime as dt
from amends.sagas import current_step, saga, sleep, step

@step
async def add(left: int, right: int) -> int:
    return left + right

@saga
async def total(start: int) -> int:
    await sleep(dt.timedelta(days=3))
    return await add(start, 2)
"""
TESTS = """
from amends.sagas.testing import crash_test, simulate
from sums import total

class World:
    def reset(self): pass
    def snapshot(self): return 0

def test_coordinator(amends_coordinator, amends_clock):
    began = amends_clock.now
    run = amends_coordinator.start(total, 40)
    amends_clock.run_sync(amends_coordinator)
    assert run.result() == 42
    assert (amends_clock.now - began).days == 3

def test_database(amends_database, tmp_path):
    assert amends_database == f"sqlite:///{tmp_path / 'amends.db'}"

def test_seeds(amends_seeds):
    print("SEEDS", len(simulate(total, 40, seeds=amends_seeds).hashes))

def test_schedule(amends_schedule):
    print("CYCLES", crash_test(total, 40, world=World(), schedule=amends_schedule).cycles > 1)
"""


def pytest_in(directory: Path, *arguments: str) -> str:
    """Run pytest in a project of its own."""
    (directory / "sums.py").write_text(SAGAS)
    (directory / "test_sums.py").write_text(TESTS)
    (directory / "pytest.ini").write_text("[pytest]\npythonpath = .\nfilterwarnings = error\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_fixtures_work_without_options(tmp_path: Path) -> None:
    told = pytest_in(tmp_path, "-s")
    assert "SEEDS 200" in told
    assert "CYCLES True" in told


def test_the_options_repeat_one_seed_and_one_schedule(tmp_path: Path) -> None:
    told = pytest_in(tmp_path, "-s", "--amends-seed", "17", "--amends-schedule", "call 1 fails")
    assert "SEEDS 1\n" in told
    assert "CYCLES False" in told


def test_the_plugin_works_under_xdist(tmp_path: Path) -> None:
    assert "4 passed" in pytest_in(tmp_path, "-n", "2")


def test_loading_the_plugin_loads_nothing_of_amends(tmp_path: Path) -> None:
    program = "import amends.pytest_plugin, sys; print([name for name in sys.modules if 'amends.' in name])"
    told = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert told == "['amends.pytest_plugin']\n"


def test_the_plugin_is_loaded_here(pytestconfig: pytest.Config) -> None:
    assert pytestconfig.pluginmanager.has_plugin("amends")


def test_the_testing_kit_is_not_loaded_with_sagas(tmp_path: Path) -> None:
    program = "import amends.sagas, sys; print([name for name in sys.modules if 'testing' in name])"
    told = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert "amends" not in told
