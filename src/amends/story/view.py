"""The view of a moment: the time, and what the workers that live serve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from amends.persistence.database import Database
from amends.persistence.records import RunRow, Serves
from amends.persistence.records import Status as Stored
from amends.sagas.fleet import serves_of


@dataclass(frozen=True, slots=True)
class View:
    """What is needed to say how a run stands: the time, and what live workers serve."""

    now: int
    served: Sequence[Serves]

    @classmethod
    def of(cls, database: Database) -> View:
        """Take the view of this moment."""
        now = database.now()
        return cls(now, [serves_of(worker) for worker in database.workers() if worker.lease_until >= now])

    def is_served(self, run: RunRow) -> bool:
        """Tell whether a live worker serves the run's saga, and its queue."""
        return any(
            (run.saga, run.version) in serves.sagas and (serves.only is None or run.queue in serves.only)
            for serves in self.served
        )

    def unserved(self, run: RunRow) -> bool:
        """Tell whether the run waits for a worker, and none that lives could take it."""
        waits = run.status in (Stored.OPEN, Stored.COMPENSATING) and run.owner is None
        return waits and run.due_at is not None and run.due_at <= self.now and not self.is_served(run)
