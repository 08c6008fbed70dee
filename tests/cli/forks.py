"""Processes that need not import everything again: each command runs in a fork of a process that has.

Run as a program, it is that process: it takes commands as lines of JSON, and answers what became of each.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class Forks:
    """The process that forks; it ends with the block."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def run(
        self, arguments: Sequence[str], directory: Path, environment: Mapping[str, str], stdin: str
    ) -> subprocess.CompletedProcess[str]:
        """Run `amends` with these arguments to its end."""
        request = {
            "arguments": arguments,
            "directory": str(directory),
            "environment": environment,
            "stdin": stdin,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        code, out, err = json.loads(self._process.stdout.readline())
        return subprocess.CompletedProcess([*arguments], code, out, err)


def serve() -> None:
    """Answer commands until stdin ends."""
    for line in sys.stdin:
        with (
            tempfile.TemporaryFile() as given,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
        ):
            files = (given, out, err)
            request = json.loads(line)
            given.write(request["stdin"].encode())
            given.seek(0)
            child = os.fork()
            if child == 0:
                os._exit(command(request, [file.fileno() for file in files]))
            _, status = os.waitpid(child, 0)
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode())
        sys.stdout.write(json.dumps([os.waitstatus_to_exitcode(status), *texts]) + "\n")
        sys.stdout.flush()


def command(request: Mapping[str, Any], files: Sequence[int]) -> int:
    """Be `amends` in this fork; give its exit code."""
    import traceback  # noqa: PLC0415 - only a fork that fails needs it

    from amends.cli import app  # noqa: PLC0415 - loaded before the fork

    for number, file in enumerate(files):
        os.dup2(file, number)
    sys.stdin = open(0, encoding="utf-8")  # noqa: SIM115 - it ends with the process
    os.chdir(request["directory"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["amends", *request["arguments"]]
    try:
        app()
        code: Any = 0
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001 - what the interpreter does at its end
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return int(code or 0)


def load() -> None:
    """Import what commands import."""
    import importlib  # noqa: PLC0415 - of this program alone

    acting = ("acting", "auditing", "cancelling", "owing", "planning", "starting")
    for name in (*acting, "listing", "serving", "tables", "telling"):
        importlib.import_module(f"amends.cli.{name}")
    for name in ("amends.persistence.postgres", "amends.persistence.sqlite", "alembic.command"):
        importlib.import_module(name)


if __name__ == "__main__":
    sys.path.pop(0)
    load()
    serve()
