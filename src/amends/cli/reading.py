"""Reading the log: one look at the database, which changes nothing and makes nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from amends.cli.errors import CommandError, without_password
from amends.persistence.database import Database
from amends.persistence.records import RunRow, Serves
from amends.persistence.records import Status as Stored
from amends.persistence.url import normalised
from amends.persistence.url import shown as hidden
from amends.sagas.fleet import serves_of


@contextmanager
def reading(url: str) -> Iterator[Database]:
    """Open the log to read it, until the block ends; tables are neither made nor upgraded.

    Raises `CommandError` when the file isn't there, and what `Database.open` raises.
    """
    must_exist(url)
    quiet()
    database = Database.open(url, migrate=False)
    try:
        yield database
    finally:
        database.close()


def must_exist(url: str) -> None:
    """Raise `CommandError` when the URL names a SQLite file that isn't there: asking must not make it."""
    target = normalised(url)
    if target.get_backend_name() != "sqlite" or target.query.get("uri"):
        return
    path = Path(target.database or "").absolute()
    if not path.exists():
        raise CommandError(
            f"there is no database {path}; give another one with --database, or make it: `amends db upgrade`"
        )


def quiet() -> None:
    """Keep the log's own warnings to workers: a command that looks or asks says what it has to say itself."""
    logging.getLogger("amends").setLevel(logging.ERROR)


def shown(url: str) -> str:
    """Give a database's URL as people write it, without its password."""
    target = normalised(url)
    return without_password(hidden(target.set(drivername=target.get_backend_name())))


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
