"""Where a run waits for its turn: its queue, the others with which it takes turns, what it may skip; pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from amends.persistence.queue_records import Place
from amends.persistence.records import RunRow
from amends.sagas import checked
from amends.sagas.errors import InputInvalid

if TYPE_CHECKING:
    from amends.sagas.saga import Saga

DEFAULT: Final = "default"
"""The queue of sagas that name none: their runs begin at once."""
LONGEST_KEY: Final = 200
MOST_PRIORITY: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class InQueue:
    """A run's queue, the key with whose runs it takes turns, and whether it waits for a place there."""

    queue: str = DEFAULT
    key: str | None = None
    queued: bool = False


NOWHERE: Final = InQueue()


def place_of(saga: Saga[..., Any], data: bytes) -> InQueue:
    """Tell where a run of a saga with this input waits. Raises `InputInvalid` where its key is none."""
    if saga.queue is None:
        return NOWHERE
    key = None
    if saga.key is not None:
        try:
            key = saga.arguments.call(saga.key, saga.arguments.decode(data))
        except Exception as error:
            words = f"{type(error).__name__}: {error}"
            raise InputInvalid(f"saga {saga.name!r}: its key= raised {words}") from error
        if not isinstance(key, str) or not 0 < len(key) <= LONGEST_KEY or not key.isprintable():
            raise InputInvalid(
                f"saga {saga.name!r}: its key= is to give a printable text of 1 to {LONGEST_KEY} characters, "
                f"not {key!r}"
            )
    return InQueue(saga.queue, key, queued=True)


def below(row: RunRow, place: InQueue) -> InQueue:
    """Tell where a child run waits: nowhere, if a run above it has a place in the same queue already.

    It would wait for what waits for it. Without a queue of its own it stands in its parent's.
    """
    if not place.queued:
        return InQueue(row.queue)
    return replace(place, queued=f",{place.queue}," not in (above(row) or ""))


def above(row: RunRow) -> str | None:
    """Name the queues in which a run and those above it have places, each in commas."""
    if row.place is not Place.TAKEN:
        return row.above
    return f"{row.above or ','}{row.queue},"


def served_queues(queues: Iterable[str]) -> frozenset[str]:
    """Check the queues of which a worker takes runs. Raises `InputInvalid`."""
    if isinstance(queues, str) or not isinstance(queues, Iterable):
        raise InputInvalid(f"queues= takes a list of names, not {queues!r}")
    found = frozenset(checked.queue_name(name, "queues=", InputInvalid, default=True) for name in queues)
    if not found:
        raise InputInvalid("queues= names no queue: leave it out to take runs of all queues")
    return found


def checked_priority(priority: object, saga: Saga[..., Any]) -> int:
    """Check the priority of a run in its queue. Raises `InputInvalid`."""
    if isinstance(priority, bool) or not isinstance(priority, int) or abs(priority) > MOST_PRIORITY:
        raise InputInvalid(
            f"priority={priority!r} must be a whole number from -{MOST_PRIORITY} to {MOST_PRIORITY}; "
            "smaller ones go first"
        )
    if priority and saga.queue is None:
        raise InputInvalid(f"priority= orders a queue, and saga {saga.name!r} has none: @saga(queue=...)")
    return priority
