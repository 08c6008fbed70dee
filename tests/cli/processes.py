"""Run `amends` as its users do: as a process, in a directory, with what it prints read as it comes."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from tests.cli.forks import Forks

PROGRAM = (sys.executable, "-W", "error", "-m", "amends")
SECONDS = 60


@dataclass(frozen=True, slots=True)
class Amends:
    """The program, in a directory and for a database."""

    directory: Path
    url: str
    forks: Forks

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Give the environment of a process: nothing of ours but the database."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("AMENDS_", "COLUMNS"))
        }
        return {**kept, "AMENDS_DATABASE_URL": self.url, "PYTHONUNBUFFERED": "1", **(more or {})}

    def __call__(
        self, *arguments: str, stdin: str = "", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, whatever that is."""
        return self.forks.run(arguments, self.directory, self.environment(env), stdin)

    def says(self, *arguments: str, stdin: str = "", env: Mapping[str, str] | None = None) -> str:
        """Run a command that must end well and say nothing on stderr; give its output."""
        result = self(*arguments, stdin=stdin, env=env)
        assert (result.returncode, result.stderr) == (0, ""), result.stderr
        return result.stdout

    def tells(self, *arguments: str) -> Any:
        """Run a command with `--json`, and give its document."""
        return json.loads(self.says(*arguments, "--json"))

    def refuses(self, *arguments: str, stdin: str = "", env: Mapping[str, str] | None = None) -> str:
        """Run a command that can't be done: exit code 2, nothing on stdout, one line on stderr; give that."""
        result = self(*arguments, stdin=stdin, env=env)
        assert (result.returncode, result.stdout) == (2, ""), result
        assert result.stderr.count("\n") == 1, result.stderr
        assert result.stderr.startswith("amends: "), result.stderr
        return result.stderr.removeprefix("amends: ").removesuffix("\n")

    def work_off(self, *modules: str) -> str:
        """Let a worker do what is due; give what it printed."""
        result = self("worker", *modules, "--until-idle")
        assert result.returncode == 0, result.stderr
        return result.stdout

    def worker(self, *arguments: str, env: Mapping[str, str] | None = None) -> "Worker":
        """Start a worker that stays."""
        return Worker(self, "worker", *arguments, env=env)

    def watch(self, *arguments: str) -> "Worker":
        """Start a watch that stays."""
        return Worker(self, "watch", *arguments)


class Worker:
    """A running `amends worker`, or another command that stays; leaving the block kills it.

    `lines` are what it has printed so far.
    """

    def __init__(self, amends: Amends, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        self.lines: list[str] = []
        self._coming: queue.Queue[str | None] = queue.Queue()
        self._process = subprocess.Popen(
            [*PROGRAM, *arguments],
            cwd=amends.directory,
            env=amends.environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait(SECONDS)
        self._reader.join(SECONDS)

    def line_with(self, words: str) -> str:
        """Read on until a line has these words in it."""
        while True:
            line = self._coming.get(timeout=SECONDS)
            assert line is not None, f"ended without {words!r}:\n" + "\n".join(self.lines)
            self.lines.append(line)
            if words in line:
                return line

    def send(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        self._process.send_signal(number)

    def end(self) -> int:
        """Wait for the end, and give the exit code."""
        code = self._process.wait(SECONDS)
        self._reader.join(SECONDS)
        while (line := self._coming.get(timeout=SECONDS)) is not None:
            self.lines.append(line)
        return code

    def _read(self, output: IO[str]) -> None:
        with output:
            for line in output:
                self._coming.put(line.rstrip("\n"))
        self._coming.put(None)
