"""What a driver keeps of each run, and whom it deals with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from amends.persistence.records import Loaded, Receipt, RunChange, Status, Write
from amends.sagas.journal import Kind
from amends.sagas.news import Attempted, News, Turn
from amends.sagas.run import LiveRun
from amends.sagas.telemetry import Traced


class Submits(Protocol):
    """Where turns are written; `persistence/writer.py` is it."""

    @property
    def epoch(self) -> int | None:
        """The lease under which this worker writes."""

    def submit(self, write: Write, done: Callable[[Receipt], None]) -> None:
        """Write all or nothing, and tell what became of it."""


@dataclass(slots=True, eq=False)
class Held:
    """A run in this process: its epoch, the news that waits for its next turn, what is being written.

    `told` are the outcomes in the turn that is being written, and those of reads that wait in memory: where
    that turn is beaten, they are news again.
    `traced` is its trace, where runs are traced.
    `claimed` is what this worker has claimed meanwhile of a run whose start here is still being written.
    """

    run: LiveRun
    epoch: int
    news: list[News] = field(default_factory=list)
    told: list[Attempted] = field(default_factory=list)
    claimed: Loaded | None = None
    traced: Traced | None = None
    writing: bool = False
    queued: bool = False
    written: int = 0
    mail: int = 0


@dataclass(frozen=True, slots=True)
class Hooks:
    """Whom a driver tells: a run ended or parked, was released until a moment, has to be loaded again.

    `told` is called when other runs were started, or told something.
    """

    settled: Callable[[str, RunChange], None]
    released: Callable[[int | None], None]
    reload: Callable[[str, int], None]
    told: Callable[[], None]


def must_not_miss_mail(turn: Turn, now: int) -> bool:
    """Tell whether a turn loses to mail: it says so, ends the run, or nobody would look at it soon."""
    change = turn.change
    if turn.contends or change is None or not change.release:
        return turn.contends
    return change.due_at is None or change.due_at > now


def overlooked(change: RunChange | None) -> tuple[str, ...]:
    """Give the kinds of mail that a change doesn't lose to: no signal helps a run that receives none.

    A run that lost to each of them would never end while they pour in.
    """
    return (Kind.SIGNAL.value,) if change is not None and change.status is not Status.OPEN else ()
