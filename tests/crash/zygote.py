"""A warm parent: single-threaded, everything imported, it forks a child for each spec that it is told.

A line of JSON in is a job: children that run one after the other, each after the one before died. Lines out
tell of each child's start and end. Run it as `python -m tests.crash.zygote [MODULE …]`, where modules add
plays; it ends, and kills what is left, when its standard input does.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import logging
import os
import selectors
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from typing import Any, NoReturn

import psycopg.types  # noqa: F401 - warm
import sqlalchemy.dialects.postgresql.psycopg
import sqlalchemy.dialects.sqlite.pysqlite  # noqa: F401 - warm

import amends.persistence.postgres
import amends.persistence.sqlite  # noqa: F401 - warm
import tests.crash.asking  # noqa: F401 - the sagas of this module too
from tests.crash.plays import play
from tests.crash.scenarios import DEADLY

PR_SET_PDEATHSIG = 1
LONGEST_S = 100.0
DEATHS = (-signal.SIGKILL, DEADLY)


@dataclass(slots=True)
class Child:
    """A child under way: its job, its place in it, the handle that tells its end, when it is overdue."""

    job: dict[str, Any]
    place: int
    pid: int
    handle: int
    overdue: float


class Zygote:
    """Forks and reaps."""

    def __init__(self) -> None:
        self._children: dict[int, Child] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
        self._text = b""

    def serve(self) -> None:
        """Do jobs until standard input ends."""
        while True:
            for key, _ in self._selector.select(1.0):
                if key.fd != sys.stdin.fileno():
                    self._reap(self._children.pop(key.fd))
                elif not self._read():
                    return
            for child in self._children.values():
                if time.monotonic() > child.overdue:
                    os.kill(child.pid, signal.SIGKILL)

    def end(self) -> None:
        """Kill and reap what is left."""
        for child in self._children.values():
            os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)

    def _read(self) -> bool:
        text = os.read(sys.stdin.fileno(), 1 << 16)
        *lines, self._text = (self._text + text).split(b"\n")
        for line in lines:
            self._start(json.loads(line), 0)
        return bool(text)

    def _start(self, job: dict[str, Any], place: int) -> None:
        spec = job["children"][place]
        pid = os.fork()
        if pid == 0:
            self._become(spec)
        handle = os.pidfd_open(pid)
        overdue = time.monotonic() + spec.get("seconds", LONGEST_S)
        self._children[handle] = Child(job, place, pid, handle, overdue)
        self._selector.register(handle, selectors.EVENT_READ)
        _tell(job=job["id"], place=place, pid=pid)

    def _reap(self, child: Child) -> None:
        self._selector.unregister(child.handle)
        os.close(child.handle)
        _, status = os.waitpid(child.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        late = time.monotonic() > child.overdue
        more = child.place + 1 < len(child.job["children"]) and code in DEATHS and not late
        _tell(job=child.job["id"], place=child.place, pid=child.pid, code=code, late=late, last=not more)
        if more:
            self._start(child.job, child.place + 1)

    def _become(self, spec: dict[str, Any]) -> NoReturn:
        """Be the child: say what happens in a file, and end with the play's code."""
        code = 70
        try:
            self._selector.close()
            if sys.platform == "linux":
                ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            output = os.open(spec["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            nothing = os.open(os.devnull, os.O_RDONLY)
            for handle, place in ((nothing, 0), (output, 1), (output, 2)):
                os.dup2(handle, place)
            code = play(spec)
        except BaseException:  # noqa: BLE001 - a child never goes on as its parent
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)


def _tell(**what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    logging.basicConfig(
        format="%(asctime)s %(process)d %(threadName)s %(name)s %(message)s", level=logging.INFO
    )
    for module in sys.argv[1:]:
        importlib.import_module(module)
    gc.freeze()
    zygote = Zygote()
    try:
        zygote.serve()
    finally:
        zygote.end()
