"""Running a body over a recorded journal, in memory: nothing is executed, and nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from amends.persistence.errors import RecordUnreadable
from amends.persistence.records import RunRow, Status
from amends.sagas.errors import NonDeterminism
from amends.sagas.journal import Entry, Kind
from amends.sagas.news import Turn
from amends.sagas.reloading import reload
from amends.sagas.replay import NON_DETERMINISM
from amends.sagas.run import Limits, LiveRun
from amends.sagas.saga import Saga

LIMITS: Final = Limits(max_payload=1 << 40, max_lost=1 << 40)
LAST: Final = (Kind.SWITCH, Kind.ENDED)
"""After one of these the body is not run any more."""


@dataclass(frozen=True, slots=True)
class Rerun:
    """A run as its body has left it: `entries` are those that the body was run over."""

    live: LiveRun
    turn: Turn
    entries: list[Entry]


@contextmanager
def rerun(saga: Saga[..., Any], row: RunRow, entries: Sequence[Entry]) -> Iterator[Rerun]:
    """Run a saga's body over a journal as far as the body was ever run; the block may look at it.

    Raises `NonDeterminism`, showing both sides, when the body asks for something else than the journal says,
    and `RecordUnreadable` when a record doesn't fit today's annotations.
    """
    forward = before_the_end(entries)
    # As a worker claims it, and with no deadline: the journal says whether one has passed.
    fresh = replace(row, status=Status.OPEN, cause=None, result=None, error=None, ended_at=None, owner=None)
    fresh = replace(fresh, deadline_at=None, due_at=row.created_at, mail=0, lost=0)
    live = LiveRun(saga, fresh, LIMITS)
    try:
        turn = reload(live, forward, [], forward[-1].at if forward else row.created_at)
        _check(live)
        yield Rerun(live, turn, forward)
    finally:
        live.close()


def before_the_end(entries: Sequence[Entry]) -> list[Entry]:
    """Give the entries up to the decision or the end: so far the body was run."""
    last = next((place for place, entry in enumerate(entries) if entry.kind in LAST), len(entries))
    return list(entries[:last])


def _check(live: LiveRun) -> None:
    reason = live.park_reason
    if reason.startswith(NON_DETERMINISM):
        raise NonDeterminism(reason.removeprefix(NON_DETERMINISM))
    if reason:
        raise RecordUnreadable(f"run {live.row.id!r} can't be replayed: {reason}")
