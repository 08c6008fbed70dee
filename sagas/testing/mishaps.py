"""What can go wrong in a simulation, and where."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from amends.sagas.news import Attempt


class Mishap(StrEnum):
    """One thing that goes wrong at a durable write or at a call."""

    KILLED_BEFORE = "killed before"
    """The worker dies before the write commits, or before the call is made; or a signal's sender does."""
    KILLED_AFTER = "killed after"
    """The worker dies after the commit, or after the call, and nobody is told."""
    FAILS = "fails"
    """The function isn't called; an error is raised instead, every time for a step."""
    TIMES_OUT = "times out"
    """The function isn't called; the attempt times out, every time for a step."""
    UNANSWERED = "unanswered"
    """The function is called, but its answer is lost and it times out, every time for a step."""
    CANCELLED_BEFORE = "cancelled before"
    """The run is cancelled just before the write commits."""
    CANCELLED_AFTER = "cancelled after"
    """The run is cancelled just after the write has committed."""
    CANCELLED_DURING = "cancelled during"
    """The run is cancelled while the call is under way."""
    FROZEN = "frozen"
    """The worker freezes: what it has sent goes on, and what comes of it waits."""
    EARLY = "early"
    """The signal, and those before it, are sent as soon as there is a run."""
    LATE = "late"
    """The signal is sent only once the run has gone on without it, by a timer."""


KILLS = (Mishap.KILLED_BEFORE, Mishap.KILLED_AFTER)
FAILURES = (Mishap.FAILS, Mishap.TIMES_OUT, Mishap.UNANSWERED)


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a run at which something can go wrong: a durable write, a call of a step, or a signal.

    `number` counts the writes, the calls, or the signals, of the run from 1; `what` says which one it is.
    """

    kind: str
    number: int
    what: str
    at: int
    worker: str
    attempt: Attempt | None = None

    @property
    def undoing(self) -> bool:
        """Tell whether it is the call of a compensation."""
        return self.attempt is not None and self.attempt.undoing

    @property
    def probing(self) -> bool:
        """Tell whether it is the call of a probe."""
        return bool(getattr(self.attempt, "probing", False))

    def __str__(self) -> str:
        return f"{self.kind} {self.number}"


class Mishaps:
    """Decides what goes wrong; this one lets everything go well. Times are milliseconds."""

    def at(self, point: Point) -> Mishap | None:
        """Decide what goes wrong at a point."""
        del point
        return None

    def commit_ms(self) -> int:
        """How long a commit takes."""
        return 0

    def answer_ms(self) -> int:
        """How long the answer of a commit or a call is under way."""
        return 0

    def take_over_ms(self) -> int:
        """After how long a dead worker's runs are handed on."""
        return 0

    def freeze_ms(self) -> int:
        """How long a freeze lasts."""
        return 0

    def signal_ms(self, number: int) -> int | None:
        """After how long the next signal is sent; None: once the run does nothing but wait for one."""
        del number
        return None

    def pick(self, count: int) -> int:
        """Choose one of so many: a worker, or whether something happens twice (1) or not (0)."""
        del count
        return 0
