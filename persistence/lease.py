"""The lease under which a batch is written."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lease:
    """A worker's epoch, this batch's number, and the lease: how long, and when (monotonic) asked for."""

    worker: str
    epoch: int
    batch: int
    lease_ms: int
    asked_at: float
