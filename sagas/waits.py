"""Those who wait for a run's end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from amends.persistence.records import Cause, Status
from amends.sagas.errors import CoordinatorClosed


@dataclass(frozen=True, slots=True)
class Settled:
    """How a run ended, or that it is parked: what its row says."""

    status: Status
    cause: Cause | None
    result: bytes | None
    error: bytes | None


class Waits:
    """Futures of callers that wait for runs to end or park."""

    def __init__(self) -> None:
        self._futures: dict[str, set[asyncio.Future[Settled]]] = {}

    @property
    def awaited(self) -> list[str]:
        """The ids of the runs that somebody waits for."""
        return list(self._futures)

    async def settled(self, run_id: str, look: Callable[[], Awaitable[Settled | None]]) -> Settled:
        """Wait until the run has ended or is parked; `look` looks whether it has already.

        Raises `CoordinatorClosed` when the coordinator closes first, and whatever `look` raises.
        """
        future: asyncio.Future[Settled] = asyncio.get_running_loop().create_future()
        self._futures.setdefault(run_id, set()).add(future)
        try:
            return await look() or await future
        finally:
            future.cancel()
            waiting = self._futures.get(run_id)
            if waiting is not None:
                waiting.discard(future)
                if not waiting:
                    del self._futures[run_id]

    def wake(self, run_id: str, settled: Settled) -> None:
        """Say that the run has ended or parked."""
        for future in self._futures.pop(run_id, ()):
            if not future.done():
                future.set_result(settled)

    def close(self) -> None:
        """Tell everybody that nobody will tell them any more."""
        for run_id in self.awaited:
            for future in self._futures.pop(run_id, ()):
                if not future.done():
                    future.set_exception(_closed(run_id))


def _closed(run_id: str) -> CoordinatorClosed:
    return CoordinatorClosed(
        f"the coordinator was closed while run {run_id!r} went on; it goes on when a worker that serves it "
        "starts, and its result can be had then"
    )
