"""The lease under which a batch is written."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lease:
    """A worker's epoch, the number of this batch, how long the lease holds, and when (monotonic) it was asked for."""

    worker: str
    epoch: int
    batch: int
    lease_ms: int
    asked_at: float
