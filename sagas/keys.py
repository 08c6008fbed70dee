"""Idempotency keys: derived from the run and the occurrence, so that any worker gives the same ones."""

from __future__ import annotations

import hashlib


def step_key(run_id: str, created_at: int, ref: int) -> str:
    """Derive the key of a step: the same for every attempt, also after a crash.

    The run's creation time goes in, so that a run of the same id in another database has other keys.
    """
    text = f"{run_id}\0{created_at}\0{ref}"
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def undo_key(key: str) -> str:
    """Derive the compensation's key from its step's."""
    return f"{key}-undo"
