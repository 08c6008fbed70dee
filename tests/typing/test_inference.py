"""Both type checkers agree on what a user's editor infers."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

SAMPLE = Path(__file__).with_name("sample.txt")
ROOT = Path(__file__).resolve().parents[2]
MARK = "# expected-error:"


def checked(command: list[str], path: Path) -> set[int]:
    """Run a type checker on a file and give the lines in which it finds errors."""
    told = subprocess.run(
        [sys.executable, "-m", *command, str(path)], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout
    return {int(line) for line in re.findall(rf"{path.name}:(\d+)(?::\d+)?(?: -)?:? error", told)}


@pytest.mark.parametrize("command", [["mypy", "--no-incremental"], ["pyright"]], ids=["mypy", "pyright"])
def test_wrong_calls_are_flagged_and_right_ones_inferred(command: list[str], tmp_path: Path) -> None:
    """A step keeps its signature, a compensation is checked against it, `start` and `result` are typed."""
    path = tmp_path / "sample.py"
    path.write_text(SAMPLE.read_text())
    expected = {number for number, line in enumerate(path.read_text().splitlines(), start=1) if MARK in line}
    assert len(expected) == 16
    assert checked(command, path) == expected
