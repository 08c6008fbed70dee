"""Run a Python file as a process, and read what it prints as it prints it."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SECONDS = 100


class Program:
    """A file of the examples, running; leaving the block ends it. `lines` is what it has printed so far."""

    def __init__(self, file: str, *arguments: str, cwd: Path, env: Mapping[str, str] | None = None) -> None:
        self.lines: list[str] = []
        self._coming: queue.Queue[str | None] = queue.Queue()
        self._process = subprocess.Popen(
            [sys.executable, EXAMPLES / file, *arguments],
            cwd=cwd,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._stop()
        self._end_what_it_started()
        self._reader.join(SECONDS)

    def line_with(self, words: str) -> str:
        """Read on until a line has these words in it."""
        while True:
            line = self._coming.get(timeout=SECONDS)
            assert line is not None, f"ended without {words!r}:\n" + "\n".join(self.lines)
            if words in line:
                return line

    def send(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        self._process.send_signal(number)

    def end(self) -> int:
        """Wait for the end, read the remaining lines, and give the exit code."""
        try:
            return self._process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self._stop()
            raise AssertionError("it doesn't end:\n" + "\n".join(self.lines)) from None
        finally:
            self._reader.join(SECONDS)

    def _stop(self) -> None:
        """Tell the process to stop, so that it ends the processes that it started; kill it if it doesn't."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _end_what_it_started(self) -> None:
        """Kill processes that are left, so that nobody waits for what they might still print."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _read(self, output: IO[str]) -> None:
        with output:
            for line in output:
                self.lines.append(line.rstrip("\n"))
                self._coming.put(line.rstrip("\n"))
        self._coming.put(None)
