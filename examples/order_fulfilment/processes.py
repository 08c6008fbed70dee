"""Processes that the demo starts, and ends again: what they print comes together in one stream of lines."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

HERE = Path(__file__).parent
PATIENCE = 5.0
"""Seconds that processes get to end: a worker exports what it has to tell."""


class Processes:
    """Runs Python files beside this one as processes, and shows each line that they print.

    They share one pipe, so that their lines come in the order in which they were printed. Leaving the block
    ends whatever still runs; left by an error, it kills them: the services and the worker are made to survive
    that.
    """

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self._awaited: list[tuple[str, asyncio.Future[str]]] = []
        self._started: list[Process] = []

    async def __aenter__(self) -> Self:
        """Open the pipe."""
        reading, self._writing = os.pipe()
        self._lines = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(self._lines)
        await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, os.fdopen(reading))
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End what still runs, and show what it printed last."""
        running = [process for process in self._started if process.returncode is None]
        ending = [asyncio.ensure_future(process.wait()) for process in running]
        if kind is None and running:
            for process in running:
                process.terminate()
            await asyncio.wait(ending, timeout=PATIENCE)
        for process in running:
            if process.returncode is None:
                process.kill()
        await asyncio.gather(*ending)
        os.close(self._writing)
        await self._reading

    async def start(self, file: str, *arguments: str) -> Process:
        """Start a Python file with arguments, in a process group of its own: Ctrl-C is for us alone."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            HERE / file,
            *arguments,
            stdin=DEVNULL,
            stdout=self._writing,
            stderr=STDOUT,
            process_group=0,
        )
        self._started.append(process)
        return process

    def line_with(self, words: str) -> asyncio.Future[str]:
        """Wait for the next line that has these words in it."""
        line = asyncio.get_running_loop().create_future()
        self._awaited.append((words, line))
        return line

    async def _read(self) -> None:
        while raw := await self._lines.readline():
            line = raw.decode(errors="replace").rstrip()
            self._show(line)
            for words, awaited in self._awaited:
                if words in line and not awaited.done():
                    awaited.set_result(line)


async def kill(process: Process) -> None:
    """Kill a process with SIGKILL and wait until it is gone."""
    process.kill()
    await process.wait()
