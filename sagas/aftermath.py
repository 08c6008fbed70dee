"""What is told of runs that a dead worker had just ended or put to sleep: nobody takes them over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from amends.persistence.database import Database
from amends.persistence.records import Loaded, RunRow
from amends.sagas.journal import from_row
from amends.sagas.registry import SAGAS
from amends.sagas.telemetry import LOSS_WINDOW_MS, Telemetry

MOST_LOOKED_AT: Final = 500
"""So many runs are looked at after a death, those that changed last."""


class Aftermath:
    """Tells once more what workers that died may not have got out before they died."""

    def __init__(
        self, database: Database, read: Callable[..., Awaitable[Any]], telemetry: Telemetry | None
    ) -> None:
        self._database = database
        self._read = read
        self._telemetry = telemetry

    async def tell(self, lease_until: int) -> None:
        """Look at the runs that changed last, and tell anew what was done there shortly before a lease ended.

        Not only where a dead worker is named: a turn that only began to wait, or a child, names nobody.
        """
        if self._telemetry is None or not self._telemetry.traces:
            return
        rows: list[RunRow] = await self._read(self._database.lately, MOST_LOOKED_AT)
        for row in rows:
            if row.lost or SAGAS.get((row.saga, row.version)) is None:
                # Whoever takes it over tells it; and without its code, tools and models have other names.
                continue
            loaded: Loaded | None = await self._read(self._database.load, row.id)
            if loaded is not None and not loaded.unreadable:
                entries = [from_row(entry) for entry in loaded.entries]
                self._telemetry.retell(loaded.run, entries, lease_until - LOSS_WINDOW_MS)
