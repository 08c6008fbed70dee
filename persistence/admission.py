"""Decide which runs of a queue get a place; pure, once the database was asked.

What is decided here stands because the queue's row is locked until the commit: nobody else gives places there
meanwhile. Places are counted from the runs that have them, so that no crash can leave a count behind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from amends.persistence.queue_records import QueueRow


class Waiting(NamedTuple):
    """A run that waits for a place, and the key with whose runs it takes turns.

    Those of smaller `priority` come first, then those that were created first.
    """

    id: str
    key: str | None
    priority: int = 0
    created_at: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """Who has the places of a queue: how many runs that aren't parked, and how many of each key."""

    going: int
    of_key: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Free:
    """How many more runs of a queue may begin now, and when (milliseconds) the next may by its rate."""

    room: int
    again_at: int | None = None


def free(queue: QueueRow, held: Held, begun: Sequence[int], room: int, now: int) -> Free:
    """Tell how many runs may begin; `begun` are the times at which the last ones did, the newest first.

    `room` is how many the asker wants at most. Any two moments `rate_ms` milliseconds apart, themselves
    included, have at most `rate_count` beginnings between them.
    """
    if queue.paused:
        return Free(0)
    if queue.concurrency is not None:
        room = min(room, queue.concurrency - held.going)
    if room <= 0 or queue.rate_count is None or queue.rate_ms is None:
        return Free(max(room, 0))
    since = now - queue.rate_ms
    recent = [at for at in begun if at >= since]
    left = queue.rate_count - len(recent)
    if left >= room:
        return Free(room)
    # By then the oldest of those that count is far enough away; at once, if none counts yet.
    again_at = recent[queue.rate_count - 1] if left <= 0 else (recent[-1] if recent else now)
    return Free(max(left, 0), again_at + queue.rate_ms + 1)


class Chosen(NamedTuple):
    """Whose turn it is, and who was passed over because the key is full; both in their order."""

    found: list[str]
    passed: list[str]


def chosen(queue: QueueRow, of_key: Counter[str], waiting: Sequence[Waiting], room: int) -> Chosen:
    """Choose whose turn it is, in the order in which they stand; counts them in `of_key`."""
    turns = Chosen([], [])
    for run in waiting:
        if len(turns.found) == room:
            break
        if run.key is not None:
            if queue.per_key is not None and of_key[run.key] >= queue.per_key:
                turns.passed.append(run.id)
                continue
            of_key[run.key] += 1
        turns.found.append(run.id)
    return turns
