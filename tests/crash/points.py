"""The durable points of a process, counted; at one of them it is killed, or its database fails.

The product knows nothing of this: the commits of the writer's thread are met in SQLAlchemy's dialect.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.engine.interfaces import DBAPIConnection

KILL = "kill"
FAIL = "fail"
"""The commit isn't done, and an error says so."""
LOSE = "lose"
"""The commit is done, and an error comes instead of its reply."""


class Points:
    """Writes each point down as it is reached, and strikes at number `at`, counted among those named `only`.

    Zero is never; an empty `only` counts them all.
    """

    def __init__(self, path: str, *, at: int = 0, how: str = KILL, only: str = "") -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
        self._at = at
        self._how = how
        self._only = only
        self._count = 0
        self._lock = threading.Lock()

    def reach(self, name: str) -> bool:
        """Count a point; tell whether it is the one. Where it is time to be killed, never returns."""
        with self._lock:
            os.write(self._file, f"{name}\n".encode())
            if self._only not in ("", name):
                return False
            self._count += 1
            if self._count != self._at:
                return False
            if self._how == KILL:
                os.kill(os.getpid(), signal.SIGKILL)
                signal.pause()
            return True

    def watch_commits(self) -> None:
        """Make every commit of the writer's thread two points: before it, and after."""
        original: Callable[..., None] = DefaultDialect.do_commit

        def do_commit(dialect: DefaultDialect, connection: DBAPIConnection) -> None:
            if not threading.current_thread().name.startswith("amends writer"):
                original(dialect, connection)
                return
            if self.reach("commit") and self._how == FAIL:
                raise _error(dialect)
            original(dialect, connection)
            if self.reach("committed") and self._how == LOSE:
                raise _error(dialect)

        DefaultDialect.do_commit = do_commit  # type: ignore[method-assign]  # this process is made for it


def _error(dialect: DefaultDialect) -> Exception:
    """Make the error that the driver raises when the connection breaks."""
    driver: Any = dialect.loaded_dbapi
    error: Exception = driver.OperationalError("the connection broke")
    return error
