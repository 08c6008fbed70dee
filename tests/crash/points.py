"""The durable points of a process, counted; at one of them it is killed or frozen, or its database fails.

The product knows nothing of this: the commits of the writer's thread are met in SQLAlchemy's dialect, and
what a transaction holds is read in it, just before it commits.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.engine.interfaces import DBAPIConnection

KILL = "kill"
FAIL = "fail"
"""The commit isn't done, and an error says so."""
LOSE = "lose"
"""The commit is done, and an error comes instead of its reply."""
FREEZE = "freeze"
"""The process stops, and goes on only when it is continued after it was told to: see `thaw`."""
_MOMENT_S = 0.005

HELD = {
    "runs": "SELECT id, 0, 'start' FROM {}runs",
    "journal": "SELECT run_id, seq, kind, ref FROM {}journal",
    "inbox": "SELECT run_id, number, 'inbox', kind FROM {}inbox",
    "votes": "SELECT approval_id, \"by\", 'vote' FROM {}votes",
}
"""What a transaction may hold, by table: which row it is, and what is said of it."""


class Points:
    """Writes each point down as it is reached, and strikes at number `at`, counted among those named `only`.

    A point has a name, and words that say more of it. Zero is never; an empty `only` counts them all, and
    `holding` only those of which a word begins with it.
    """

    def __init__(self, path: str, *, at: int = 0, how: str = KILL, only: str = "", holding: str = "") -> None:
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
        self._at = at
        self._how = how
        self._only = only
        self._holding = holding
        self._count = 0
        self.rowed = False
        """Whether a step has written rows in a transaction that hasn't committed yet."""
        self._lock = threading.Lock()

    def reach(self, name: str, *words: str) -> bool:
        """Count a point; tell whether it is the one. Where it is time to be killed, never returns."""
        with self._lock:
            os.write(self._file, f"{' '.join((name, *words))}\n".encode())
            if self._only not in ("", name) or not any(w.startswith(self._holding) for w in (*words, "")):
                return False
            self._count += 1
            if self._count != self._at:
                return False
            if self._how == KILL:
                os.kill(os.getpid(), signal.SIGKILL)
                signal.pause()
        if self._how == FREEZE:
            self._freeze()
        return True

    def watch_commits(self) -> None:
        """Make every commit of the writer's thread two points: before it, and after."""
        original: Callable[..., None] = DefaultDialect.do_commit
        holding = Holding()

        def do_commit(dialect: DefaultDialect, connection: DBAPIConnection) -> None:
            if not threading.current_thread().name.startswith("amends writer"):
                self._commit_of_a_step(original, dialect, connection)
                return
            words = holding.new(dialect, connection)
            if self.reach("commit", *words) and self._how == FAIL:
                raise _error(dialect)
            original(dialect, connection)
            if self.reach("committed", *words) and self._how == LOSE:
                raise _error(dialect)

        DefaultDialect.do_commit = do_commit  # type: ignore[method-assign]  # this process is made for it

    def _commit_of_a_step(
        self, original: Callable[..., None], dialect: DefaultDialect, connection: DBAPIConnection
    ) -> None:
        """Make the commit of a step's own transaction two points; others are none."""
        if not self.rowed:
            original(dialect, connection)
            return
        self.rowed = False
        if self.reach("row-commit", "row") and self._how == FAIL:
            raise _error(dialect)
        original(dialect, connection)
        if self.reach("row-committed", "row") and self._how == LOSE:
            raise _error(dialect)

    def _freeze(self) -> None:
        """Stand still. Continued before it was thawed, let the other threads go on for a moment only."""
        while not thawed(self._path).exists():
            os.kill(os.getpid(), signal.SIGSTOP)
            time.sleep(_MOMENT_S)


class Holding:
    """What each transaction of this process adds to a database with one run in it."""

    def __init__(self) -> None:
        self._known: set[tuple[object, ...]] | None = None

    def new(self, dialect: DefaultDialect, connection: DBAPIConnection) -> list[str]:
        """Give words such as `start`, `intent:2`, `inbox:cancel`; the first only enters a worker."""
        prefix = "amends_" if dialect.name == "sqlite" else "amends."
        rows: list[tuple[object, ...]] = []
        cursor = connection.cursor()
        for table, statement in HELD.items():
            cursor.execute(statement.format(prefix))
            rows += [(table, *row) for row in cursor.fetchall()]
        cursor.close()
        known, self._known = self._known, set(rows)
        return [] if known is None else [_word(row) for row in rows if row not in known]


def thawed(path: str) -> Path:
    """Give the file whose existence lets a frozen process go on; `path` is that of its points."""
    return Path(f"{path}.thawed")


def _word(row: tuple[object, ...]) -> str:
    _table, _run, _number, *said = row
    return ":".join(str(part) for part in said if part is not None)


def _error(dialect: DefaultDialect) -> Exception:
    """Make the error that the driver raises when the connection breaks."""
    driver: Any = dialect.loaded_dbapi
    error: Exception = driver.OperationalError("the connection broke")
    return error
