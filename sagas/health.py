"""Whether a coordinator can do its work just now: what a probe asks."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from amends.sagas.errors import AmendsError

if TYPE_CHECKING:
    from amends.sagas.parts import Parts

PATIENCE: Final = 5.0
"""Seconds within which the database has to answer."""


@dataclass(frozen=True, slots=True)
class Health:
    """Whether a coordinator can do its work just now; where it isn't `ready`, `reason` says why."""

    ready: bool
    reason: str | None = None


async def health_of(parts: Parts | None) -> Health:
    """Look: a worker is ready while its lease is good, another coordinator where the database answers."""
    if parts is None:
        return Health(ready=False, reason="it isn't open")
    if parts.worker is not None:
        good = parts.lease_good()
        return Health(good, None if good else "its lease couldn't be renewed: the database can't be written")
    try:
        await asyncio.wait_for(parts.scheduler.read(parts.database.workers), PATIENCE)
    except TimeoutError:
        return Health(ready=False, reason=f"the database gave no answer within {PATIENCE:g} s")
    except AmendsError as problem:
        return Health(ready=False, reason=str(problem))
    return Health(ready=True)
