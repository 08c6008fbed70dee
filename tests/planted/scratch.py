"""A copy of the working tree, in which bugs are planted; it shares the environment, not the code."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.planted.patches import ROOT

LEFT_OUT = (".git", ".venv*", "__pycache__", ".*_cache", ".hypothesis", "*.egg-info", "build", "dist")
WHERE = "import amends.persistence.batch as p, amends.sagas.run as s; print(p.__file__, s.__file__)"
LONGEST = 600
"""Seconds after which a command in the copy is given up."""


class Scratch:
    """The copy, and commands in it.

    `PYTHONPATH` stands before the environment's own link to the working tree, so that the copy's code is
    what is imported. No bytecode is written: two versions of a file may have one size and one second.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(root / "src"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the copy. Raises `TimeoutExpired` after ten minutes."""
        return subprocess.run(
            command,
            cwd=self.root,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=LONGEST,
        )

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run this very Python in the copy."""
        return self.run(sys.executable, *arguments)

    def check(self) -> str:
        """Run `make check` in the copy, with this environment as it is; gives what it complains of."""
        made = self.run("make", "check", f"VENV={sys.prefix}", "-o", f"{sys.prefix}/.ready")
        return "" if made.returncode == 0 else (made.stdout + made.stderr).strip()


@contextmanager
def scratch() -> Iterator[Scratch]:
    """Give a copy of the working tree; it is removed in the end.

    Raises `RuntimeError` where the copy's code isn't what Python imports there.
    """
    with tempfile.TemporaryDirectory(prefix="amends-planted-") as folder:
        root = Path(folder).resolve() / "amends"
        shutil.copytree(ROOT, root, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
        copy = Scratch(root)
        imported = copy.python("-c", WHERE).stdout.split()
        if len(imported) != 2 or not all(Path(file).resolve().is_relative_to(root) for file in imported):
            raise RuntimeError(f"Python imports {imported or 'nothing'} instead of the code in {root}")
        yield copy
