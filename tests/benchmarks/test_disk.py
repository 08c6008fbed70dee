"""The disk that benchmarks run on: what it counts, and what a flush costs on it."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import disk
from benchmarks.disk import Disk, NoCompiler

COMMITS = 25
DIRECTORY = 1
"""SQLite flushes the directory too when a connection first flushes its log."""

COMMIT = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA synchronous = FULL")
connection.execute("PRAGMA wal_autocheckpoint = 0")
for number in range(int(sys.argv[2])):
    connection.execute("INSERT INTO rows_of_one VALUES (?)", (number,))
"""

FLUSH = """
import os, sys, time
with open(sys.argv[1], "wb") as file:
    started = time.monotonic()
    for _ in range(int(sys.argv[2])):
        os.fsync(file.fileno())
        os.fdatasync(file.fileno())
    print(time.monotonic() - started)
"""


@pytest.fixture(params=list(Disk), ids=str)
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    return variables(tmp_path, request.param)


def variables(directory: Path, on: Disk) -> dict[str, str]:
    try:
        disk.build(directory)
    except NoCompiler as reason:
        pytest.skip(str(reason))
    return disk.environment(directory, on)


def python(program: str, *arguments: object, environment: dict[str, str]) -> str:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def test_every_durable_commit_of_one_row_is_one_flush(environment: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "rows.db"
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE rows_of_one (number integer)")
    python(COMMIT, file, COMMITS, environment=environment)
    flushes = disk.flushes(environment)
    connection.close()
    assert flushes == COMMITS + DIRECTORY


def test_processes_share_one_count(environment: dict[str, str], tmp_path: Path) -> None:
    for number in range(3):
        python(FLUSH, tmp_path / f"file-{number}", 5, environment=environment)
    assert disk.flushes(environment) == 3 * 10


def test_a_modelled_flush_costs_at_least_a_millisecond(tmp_path: Path) -> None:
    environment = variables(tmp_path, Disk.MODELLED)
    seconds = float(python(FLUSH, tmp_path / "file", 10, environment=environment))
    assert seconds >= 20 * disk.FLUSH.total_seconds()


def test_without_a_compiler_the_real_disk_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert disk.environment(tmp_path, Disk.REAL) == {}
    assert disk.flushes({}) is None
    with pytest.raises(NoCompiler, match="C compiler"):
        disk.environment(tmp_path, Disk.MODELLED)
