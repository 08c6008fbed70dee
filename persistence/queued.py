"""What waits for a writer's next transaction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection

from amends.persistence.lease import Lease
from amends.persistence.records import Receipt, Write

Thunk = Callable[[], object]
"""Something to be called, once; what it returns concerns nobody."""

_MOST_WRITES: Final = 2_000
_MOST_BYTES: Final = 8_000_000
_FIRST_REST_S: Final = 0.1
_LONGEST_REST_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Submitted:
    """A write, and who is to be told what became of it; `rested` is how long it has waited for a lock."""

    write: Write
    done: Callable[[Receipt], object]
    rested: float = 0.0


@dataclass(frozen=True, slots=True)
class Errand:
    """Something else for the batch's transaction, under its lease; returns what to do after the commit."""

    run: Callable[[Connection, Lease], Thunk]


@dataclass(frozen=True, slots=True)
class Close:
    """The last thing that is asked of a writer."""


Item = Submitted | Errand | Close


@dataclass(slots=True)
class Batch:
    """What goes into one transaction."""

    writes: list[Submitted] = field(default_factory=list)
    errands: list[Errand] = field(default_factory=list)
    bytes: int = 0

    def add(self, item: Submitted) -> None:
        """Put a write in."""
        self.writes.append(item)
        self.bytes += sum(len(entry.payload) for entry in item.write.entries if entry.payload is not None)

    def is_full(self) -> bool:
        """Tell whether the rest has to go into the next one."""
        return len(self.writes) >= _MOST_WRITES or self.bytes >= _MOST_BYTES


class Blocked:
    """Writes that met a lock of somebody's transaction; each is tried again alone, ever less often."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, Submitted]] = []

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, item: Submitted, now: float) -> None:
        """Let `item` wait, twice as long as the last time."""
        rest = min(max(item.rested * 2, _FIRST_REST_S), _LONGEST_REST_S)
        self._waiting.append((now + rest, Submitted(item.write, item.done, rest)))

    def due(self, now: float) -> list[Submitted]:
        """Take out what has waited long enough."""
        due = [item for until, item in self._waiting if until <= now]
        self._waiting = [(until, item) for until, item in self._waiting if until > now]
        return due

    def seconds(self, now: float) -> float:
        """Return how long it is until one is due."""
        return max(min((until for until, _ in self._waiting), default=now + 60.0) - now, 0.0)
