"""Which process this is, in a way that another process on the same machine can check."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

_START_TIME = 21


def this_process() -> str:
    """Return machine, boot, process namespace, pid and start time; empty where the system doesn't tell."""
    # Not cached over the pid: a forked child is another process.
    place = _place()
    started = _started(os.getpid())
    return f"{place}/{os.getpid()}/{started}" if place and started else ""


def has_vanished(process: str) -> bool:
    """Tell whether `process` ran here since the last boot and runs no more; False when in doubt."""
    place, _, rest = process.rpartition("/")
    place, _, pid = place.rpartition("/")
    if not place or place != _place() or not pid.isdigit():
        return False
    return _started(int(pid)) != rest


@cache
def _place() -> str:
    """Return boot and namespace: containers on one machine number their processes each for itself."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = Path("/proc/self/ns/pid").readlink()
    except OSError:
        return ""
    return f"{boot}/{namespace}"


def _started(pid: int) -> str:
    """Return a living process's start time in ticks since boot; empty for one that is gone or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = text.rpartition(")")[2].split()
    return "" if fields[0] in {"Z", "X"} else fields[_START_TIME - 2]
