"""The zygote as tests see it: jobs of children that are killed, one after the other, and how each ended."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.crash.points import thawed
from tests.crash.world import ROOT

PATIENCE_S = 110.0


@dataclass(slots=True)
class Exit:
    """How a child ended, and the points that it reached, in their order: `said` has the words of each."""

    pid: int
    code: int
    late: bool
    said: list[list[str]]

    @property
    def points(self) -> list[str]:
        """The names of the points."""
        return [words[0] for words in self.said]

    @property
    def killed(self) -> bool:
        """Tell whether SIGKILL ended it, and in time."""
        return self.code == -signal.SIGKILL and not self.late


@dataclass(slots=True)
class Job:
    """Children under way; `exits` are those that have ended."""

    directory: Path
    news: queue.SimpleQueue[dict[str, Any] | None] = field(default_factory=queue.SimpleQueue)
    exits: list[Exit] = field(default_factory=list)
    pids: list[int] = field(default_factory=list)
    over: bool = False

    @property
    def pid(self) -> int:
        """The process of the newest child."""
        while not self.pids or not self.news.empty():
            self._take()
        return self.pids[-1]

    def signal(self, number: signal.Signals) -> None:
        """Send the newest child a signal."""
        os.kill(self.pid, number)

    def frozen(self) -> bool:
        """Tell whether the newest child stands still, or has ended."""
        state = Path(f"/proc/{self.pid}/stat")
        try:
            return state.read_text().rpartition(")")[2].split()[0] in "TZ"
        except OSError:
            return True

    def thaw(self) -> None:
        """Let a frozen child go on."""
        thawed(str(self.directory / f"{len(self.exits)}.points")).touch()
        with contextlib.suppress(ProcessLookupError):
            self.signal(signal.SIGCONT)

    def wait(self) -> list[Exit]:
        """Wait for the end of all children."""
        while not self.over:
            self._take()
        return self.exits

    def log(self) -> str:
        """Give what the children have said."""
        return "\n".join(
            f"--- {path.name}\n{path.read_text()}" for path in sorted(self.directory.glob("*.log"))
        )

    def poll(self) -> None:
        """Take what has been heard of the children so far."""
        while not self.news.empty():
            self._take()

    def _take(self) -> None:
        news = self.news.get(timeout=PATIENCE_S)
        assert news is not None, f"the zygote is gone:\n{self.log()}"
        if "code" not in news:
            self.pids.append(news["pid"])
            return
        points = self.directory / f"{news['place']}.points"
        reached = [line.split() for line in points.read_text().splitlines()] if points.exists() else []
        self.exits.append(Exit(news["pid"], news["code"], news["late"], reached))
        self.over = news["last"]


class Zygote:
    """Has children forked; leaving the block kills what is left of them.

    `plays` are modules that add to what children can do.
    """

    def __init__(self, directory: Path, *plays: str) -> None:
        self._directory = directory
        self._jobs: dict[int, Job] = {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.zygote", *plays],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._reader.join()
        self._process.stdout.close()

    def start(self, *specs: dict[str, Any]) -> Job:
        """Have children run one after the other, each after the one before was killed."""
        number = len(self._jobs)
        directory = self._directory / f"job-{number}"
        directory.mkdir()
        job = self._jobs[number] = Job(directory)
        children = [
            {"number": place}
            | spec
            | {
                "log": str(directory / f"{place}.log"),
                "points": str(directory / f"{place}.points"),
            }
            for place, spec in enumerate(specs)
        ]
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"id": number, "children": children}) + "\n")
        self._process.stdin.flush()
        return job

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            news = json.loads(line)
            self._jobs[news["job"]].news.put(news)
        for job in self._jobs.values():
            job.news.put(None)
