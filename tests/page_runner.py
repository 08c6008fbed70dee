"""Runs a page's program, and each of its commands in a fork of a process that has imported `amends` already.

Run as `python page_runner.py PROGRAM`. Commands that need a shell get one.
"""

from __future__ import annotations

import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parent / "cli")

from forks import Forks  # type: ignore[import-not-found]  # noqa: E402 - found beside the tests of commands

FOR_A_SHELL = re.compile(r"[|&;<>$`*?(){}~#\n]")
QUOTED = re.compile(r"'[^']*'")


class Commands:
    """Runs commands, one after the other; the process that forks is started for the first one."""

    def __init__(self) -> None:
        self._forks: Any = None

    def run(self, command: str) -> None:
        """Run a command to its end. Raises `CalledProcessError`."""
        name, *words = shlex.split(command)
        if name != "amends" or FOR_A_SHELL.search(QUOTED.sub("", command)):
            subprocess.run(command, shell=True, check=True)  # noqa: S602 - it is the page's
            return
        if self._forks is None:
            self._forks = Forks()
        result = self._forks.run(words, Path.cwd(), dict(os.environ), "")
        sys.stdout.write(result.stdout)
        sys.stdout.write(result.stderr)
        sys.stdout.flush()
        result.check_returncode()

    def end(self) -> None:
        """End the process that forks."""
        if self._forks is not None:
            self._forks.__exit__(None, None, None)


def main(program: str) -> None:
    """Run a page's program as a script."""
    commands = Commands()
    sys.argv[:] = [program]
    sys.path[0] = str(Path(program).parent)
    try:
        runpy.run_path(program, init_globals={"_command": commands.run}, run_name="__main__")
    finally:
        commands.end()


if __name__ == "__main__":
    main(sys.argv[1])
