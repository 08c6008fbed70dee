"""System clocks that are wrong, and that somebody sets while they are read."""

from __future__ import annotations

import mmap
import time
from datetime import timedelta
from pathlib import Path

SIZE = 8
_time_ns = time.time_ns


class SetClock:
    """A file that says how far the clocks of the processes that were given it are from the right one."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(SIZE))
        self.path = str(path)
        self._file = path.open("r+b")
        self._map = mmap.mmap(self._file.fileno(), SIZE)

    def set(self, by: timedelta) -> None:
        """Set all these clocks."""
        self._map[:] = round(by / timedelta(microseconds=1)).to_bytes(SIZE, "little", signed=True)

    def close(self) -> None:
        """Close the file."""
        self._map.close()
        self._file.close()


def go_by(path: str) -> None:
    """Let this process tell the time by such a file."""
    with Path(path).open("rb") as file:
        distance = mmap.mmap(file.fileno(), SIZE, access=mmap.ACCESS_READ)

    def time_ns() -> int:
        return _time_ns() + int.from_bytes(distance[:], "little", signed=True) * 1_000

    time.time_ns = time_ns
    time.time = lambda: time_ns() / 1_000_000_000
