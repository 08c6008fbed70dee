"""The lease under which a batch is written."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lease:
    """A worker's epoch, this batch's number, and the lease: how long, and when (monotonic) asked for.

    `after` is the number of the last batch that is known to be committed: a database that doesn't have it has
    lost it, such as a standby that has become the primary.
    """

    worker: str
    epoch: int
    batch: int
    after: int
    lease_ms: int
    asked_at: float
