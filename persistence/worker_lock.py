"""A worker's sign of life on its own machine: a locked file, which the system unlocks when the process dies.

The lock is `flock`'s, which belongs to the open file: other workers of the same process respect it too. A
forked child inherits it and would keep it alive after its parent's death, so the child closes what it
inherited.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import Final
from urllib.parse import quote
from weakref import WeakSet

from amends.persistence.errors import WorkerNameTaken

if sys.platform != "win32":
    import fcntl

_LONGEST_NAME: Final = 120


class FileLock:
    """A locked file named after a worker.

    Raises:
        WorkerNameTaken: the worker lives already, in this process or another.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = _locked(path)
        if self._file is None:
            raise WorkerNameTaken(
                f"A worker of this name is alive: its file {path} is locked. Give each process its own name."
            )
        _held.add(self)

    def release(self) -> None:
        """Remove the file, then unlock it."""
        if self._file is not None:
            self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = None

    def forget(self) -> None:
        """Close the file that a forked child has inherited; the parent's lock stays."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


_held: Final[WeakSet[FileLock]] = WeakSet()


def path_for(database: Path, worker: str) -> Path:
    """Return the file of `worker` beside `database`."""
    name = quote(worker, safe="")
    if len(name) > _LONGEST_NAME:
        name = hashlib.blake2b(worker.encode(), digest_size=16).hexdigest()
    return database.with_name(f"{database.name}-worker-{name}")


def is_free(path: Path) -> bool:
    """Tell whether no living process holds the file; a missing one isn't held either."""
    if sys.platform == "win32":  # the lease alone decides there
        return False
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        return _take(file)
    finally:
        os.close(file)


def remove(path: Path) -> None:
    """Remove the file of a dead worker, unless somebody holds it by now."""
    if sys.platform == "win32":
        return
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if _take(file) and _is_at(file, path):
            path.unlink(missing_ok=True)
    finally:
        os.close(file)


def _locked(path: Path) -> int | None:
    """Open and lock the file; again, if it was removed in between and the lock is one on nothing."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _take(file):
            os.close(file)
            return None
        if _is_at(file, path):
            return file
        os.close(file)


def _take(file: int) -> bool:
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_at(file: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(file), there)


def _forget_all() -> None:
    for lock in list(_held):
        lock.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
