"""The rows of queues, and a run's place in one, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Place(StrEnum):
    """Whether a run of a queue waits for its place there, or has it.

    One that is `BEHIND` waits as well, behind others of its key: nobody looks at it until they leave room.
    """

    QUEUED = "queued"
    BEHIND = "behind"
    TAKEN = "taken"


@dataclass(frozen=True, slots=True)
class QueueRow:
    """A queue: how many of its runs may go on at once, in all, at each worker, and of one key; None: any.

    Within `rate_ms` milliseconds at most `rate_count` begin, while it is `paused` none does.
    """

    name: str
    concurrency: int | None = None
    per_worker: int | None = None
    per_key: int | None = 1
    rate_count: int | None = None
    rate_ms: int | None = None
    paused: bool = False
    updated_at: int = 0


@dataclass(frozen=True, slots=True)
class QueueChange:
    """A queue's `limits`, as they are to be, or whether it is `paused`; without either it is deleted."""

    name: str
    limits: QueueRow | None = None
    paused: bool | None = None


@dataclass(frozen=True, slots=True)
class QueueCount:
    """How many runs of a queue wait for a place, and since when the first of them; how many have one."""

    queued: int = 0
    oldest: int | None = None
    taken: int = 0
