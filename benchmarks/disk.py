"""The disk under a benchmark: the machine's own, or one whose every flush costs the same."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

SOURCE = Path(__file__).with_name("slow_fsync.c")
FLUSH = timedelta(milliseconds=1)
COUNTER = "AMENDS_DISK_COUNTER"
DELAY = "AMENDS_DISK_DELAY_US"
COUNTER_BYTES = 8


class Disk(StrEnum):
    """What a flush costs."""

    REAL = "real"
    """What it costs here; flushes are counted where there is a compiler."""
    MODELLED = "modelled"
    """Exactly 1 ms, instead of the real flush: stable figures on a noisy machine."""


class NoCompiler(RuntimeError):
    """The flushes can't be modelled or counted on this machine."""


def build(directory: Path) -> Path:
    """Compile the library that stands between a process and its disk; return its path.

    Raises `NoCompiler` on a machine that isn't Linux or has no C compiler.
    """
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or sys.platform != "linux":
        raise NoCompiler(
            "modelling or counting flushes needs Linux and a C compiler (`apt-get install gcc libc6-dev`); "
            "without one run the benchmarks with `--disk real`, which then prints no counts"
        )
    library = directory / "slow_fsync.so"
    command = [compiler, "-O2", "-Wall", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoCompiler(f"{compiler} could not compile {SOURCE.name}:\n{done.stderr}")
    library.chmod(0o755)
    return library


def environment(directory: Path, disk: Disk) -> dict[str, str]:
    """Give the variables under which a process has this disk and counts its flushes into `directory`.

    A real disk on a machine without a compiler has none. Raises `NoCompiler` for a modelled one there.
    """
    try:
        library = build(directory)
    except NoCompiler:
        if disk is Disk.MODELLED:
            raise
        return {}
    counter = directory / "flushes"
    counter.write_bytes(bytes(COUNTER_BYTES))
    counter.chmod(0o666)
    delay = FLUSH // timedelta(microseconds=1) if disk is Disk.MODELLED else 0
    return {"LD_PRELOAD": str(library), COUNTER: str(counter), DELAY: str(delay)}


def flushes(variables: Mapping[str, str] = os.environ) -> int | None:
    """Give the number of flushes so far of all processes on this disk; None where they aren't counted."""
    counter = variables.get(COUNTER)
    return None if counter is None else int.from_bytes(Path(counter).read_bytes(), sys.byteorder)
