"""Where a scenario's CPU time goes, thread by thread: `python -m benchmarks.profile B --store sqlite`.

The event loop's thread and the writer's are profiled separately, each by its own CPU clock, so that a
thread isn't charged for waiting for the disk or for the other one. The profiler itself makes small
functions look dearer than they are: compare shares, and take the speed from `python -m benchmarks`.
"""

from __future__ import annotations

import argparse
import cProfile
import importlib
import os
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, Self

from benchmarks import child
from benchmarks.disk import Disk
from benchmarks.places import Store, open_place
from benchmarks.scenarios import SCENARIOS

LAST_PYTHON = (3, 11)
SHOWN = 30


class Spent(NamedTuple):
    """What one function of one thread cost, in seconds of CPU: by itself, and with all it called."""

    function: str
    calls: int
    itself: float
    total: float


class ThreadProfiles:
    """A `with` block in which this thread, and each one started from now on, has a profile of its own."""

    def __init__(self) -> None:
        self.profiles: dict[str, cProfile.Profile] = {}

    def __enter__(self) -> Self:
        """Start."""
        threading.setprofile(self._first_event)
        self._begin()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.profiles[threading.current_thread().name].disable()
        threading.setprofile(None)

    def _first_event(self, _frame: FrameType, _event: str, _argument: object) -> None:
        self._begin()

    def _begin(self) -> None:
        profile = self.profiles[threading.current_thread().name] = cProfile.Profile(time.thread_time)
        profile.enable()


async def measure(module: str, url: str, size: int) -> dict[str, list[Spent]]:
    """Run a scenario under the profiler; give each thread's functions, dearest first."""
    scenario = importlib.import_module(module)
    with ThreadProfiles() as threads:
        await scenario.measure(url, size)
    return {name: _functions(profile) for name, profile in threads.profiles.items()}


def _functions(profile: cProfile.Profile) -> list[Spent]:
    # Not through pstats: it would end calls still under way in another thread by this thread's clock.
    profile.snapshot_stats()
    stats: dict[tuple[str, int, str], Any] = profile.stats
    spent = [Spent(_place(*key), calls, itself, total) for key, (_, calls, itself, total, _) in stats.items()]
    return sorted(spent, key=lambda function: -function.itself)


def _place(file: str, line: int, function: str) -> str:
    """Name a function as an editor finds it; one of C has no place."""
    if file == "~":
        return function
    path = Path(file)
    for base in (child.ROOT, *map(Path, sys.path)):
        if base != Path() and path.is_relative_to(base):
            return f"{path.relative_to(base)}:{line} {function}"
    return f"{path.name}:{line} {function}"


def main() -> None:
    """Profile what the command line names and print a table for each thread."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("scenario", type=str.upper, choices=SCENARIOS)
    parser.add_argument("--store", type=Store, default=Store.SQLITE, choices=Store)
    parser.add_argument("--disk", type=Disk, default=Disk.MODELLED, choices=Disk)
    parser.add_argument("--size", type=int)
    parser.add_argument("--top", type=int, default=SHOWN, help="functions shown for each thread")
    options = parser.parse_args()
    if sys.version_info[:2] > LAST_PYTHON:
        parser.error("a profile for each thread needs Python 3.11; from 3.12 on there is one for all threads")
    scenario = SCENARIOS[options.scenario]
    with open_place(options.store, options.disk) as place:
        arguments = (scenario.module, place.new_database(), options.size or scenario.size)
        threads = child.run(__spec__.name, "measure", *arguments, environment=place.environment)
    for name, functions in threads.items():
        _show(name, [Spent(*function) for function in functions], options.top)


def _show(thread: str, functions: list[Spent], top: int) -> None:
    whole = sum(function.itself for function in functions)
    print(f"\n{thread}: {whole:.3f} s of CPU\n")
    print(f"{'share':>6} {'itself ms':>10} {'total ms':>10} {'calls':>9}  function")
    for place, calls, itself, total in functions[:top]:
        print(f"{itself / whole:6.1%} {itself * 1000:10.1f} {total * 1000:10.1f} {calls:9,}  {place}")


if __name__ == "__main__":
    os.chdir(child.ROOT)
    main()
