"""Those who wait for a run's end."""

from __future__ import annotations

import asyncio


class Waits:
    """Futures of callers that wait for runs to end or park."""

    def __init__(self) -> None:
        self._futures: dict[str, set[asyncio.Future[None]]] = {}

    @property
    def awaited(self) -> list[str]:
        """The ids of the runs that somebody waits for."""
        return list(self._futures)

    async def settled(self, run_id: str) -> None:
        """Wait until the run is said to have ended or parked."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._futures.setdefault(run_id, set()).add(future)
        try:
            await future
        finally:
            waiting = self._futures.get(run_id)
            if waiting is not None:
                waiting.discard(future)
                if not waiting:
                    del self._futures[run_id]

    def wake(self, run_id: str) -> None:
        """Say that the run has ended or parked."""
        for future in self._futures.pop(run_id, ()):
            if not future.done():
                future.set_result(None)
