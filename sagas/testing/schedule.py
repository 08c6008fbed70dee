"""Schedules: what goes wrong at which points, as text that can be read, kept and played again."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from amends.sagas.testing.mishaps import FAILURES, KILLS, Mishap, Mishaps, Point

WRITTEN = re.compile(rf"(write|call|signal) ([1-9]\d*) ({'|'.join(Mishap)})")
AT_WRITES = (*KILLS, Mishap.CANCELLED_BEFORE, Mishap.CANCELLED_AFTER)
AT_CALLS = (*KILLS, *FAILURES, Mishap.CANCELLED_DURING)
AT_SIGNALS = (*KILLS, Mishap.EARLY, Mishap.LATE)
KNOWN = {"write": AT_WRITES, "call": AT_CALLS, "signal": AT_SIGNALS}


@dataclass(frozen=True, slots=True)
class Fault:
    """One mishap at one point, such as `call 3 killed after`."""

    kind: str
    number: int
    mishap: Mishap

    def __str__(self) -> str:
        return f"{self.kind} {self.number} {self.mishap}"


Schedule = tuple[Fault, ...]


def parse(text: str) -> Schedule:
    """Read a schedule: faults with commas between them. Raises `ValueError`, saying how one is written."""
    faults = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        found = WRITTEN.fullmatch(part)
        if found is None or found[3] not in KNOWN[found[1]]:
            told = "; ".join(f"'{kind} N' with {', '.join(mishaps)}" for kind, mishaps in KNOWN.items())
            raise ValueError(
                f"{part!r} is no part of a schedule; there are {told}; such as "
                "'call 2 fails, write 5 killed after'"
            )
        faults.append(Fault(found[1], int(found[2]), Mishap(found[3])))
    return tuple(faults)


def written(schedule: Iterable[Fault]) -> str:
    """Write a schedule as `parse` reads it."""
    return ", ".join(map(str, schedule))


def faults_at(point: Point) -> list[Fault]:
    """Give everything that can go wrong at a point, kills first."""
    mishaps: list[Mishap] = list(KILLS)
    if point.kind == "signal":
        mishaps = list(AT_SIGNALS)
    elif point.kind == "write":
        # Before its start has committed there is no run to be cancelled.
        mishaps += [*([Mishap.CANCELLED_BEFORE] if point.number > 1 else []), Mishap.CANCELLED_AFTER]
    elif not point.probing:
        mishaps += [*FAILURES, *([] if point.undoing else [Mishap.CANCELLED_DURING])]
    return [Fault(point.kind, point.number, mishap) for mishap in mishaps]


class Scheduled(Mishaps):
    """Lets happen what a schedule says, and nothing else."""

    def __init__(self, schedule: Schedule) -> None:
        self._faults = {(fault.kind, fault.number): fault.mishap for fault in schedule}

    def at(self, point: Point) -> Mishap | None:
        """Give the mishap of a point, if the schedule has one."""
        return self._faults.get((point.kind, point.number))

    def signal_ms(self, number: int) -> int | None:
        """Send a signal at once where it, or one after it, is to be early."""
        early = (
            n for (kind, n), mishap in self._faults.items() if kind == "signal" and mishap is Mishap.EARLY
        )
        return 0 if any(number <= n for n in early) else None
