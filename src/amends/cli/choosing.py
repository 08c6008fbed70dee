"""Which runs an act is for: one by its id, or all that filters let through."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from amends.cli import typed
from amends.cli.errors import CommandError
from amends.persistence.database import Database
from amends.persistence.records import EntryRow, RunRow, Status
from amends.sagas.journal import Kind

PAGE = 500


@dataclass(frozen=True, slots=True)
class Chosen:
    """One run, or all runs of a status that fit: of a saga, of a version, for a reason, since a moment."""

    run: str | None
    status: Status = Status.PARKED
    saga: str | None = None
    version: str | None = None
    reason: str | None = None
    since: str | None = None

    @classmethod
    def of(
        cls,
        run: str | None,
        saga: str | None,
        version: str | None,
        reason: str | None,
        since: str | None,
        *,
        everything: bool,
    ) -> Chosen:
        """Choose parked runs. Raises `CommandError` unless it is clear which are meant."""
        filters = [given for given in (saga, version, reason, since) if given is not None]
        _check(run, [*filters, *(["--all"] if everything else [])], since)
        if run is None and not filters and not everything:
            raise CommandError(
                "which run? Give its id, a filter (--saga, --version, --reason-contains, --since), or --all"
            )
        if filters and everything:
            raise CommandError("--all means all parked runs: give it without other filters")
        return cls(run, Status.PARKED, saga, version, reason, since)

    @classmethod
    def to_undo(cls, run: str | None, saga: str | None, version: str | None, since: str | None) -> Chosen:
        """Choose completed runs. Raises `CommandError` unless it is clear which are meant."""
        _check(run, [given for given in (saga, version, since) if given is not None], since)
        if run is None and saga is None:
            raise CommandError("which run? Give its id, or --saga (with --version, --since) for many")
        return cls(run, Status.COMPLETED, saga, version, None, since)

    def step(self, named: str | None, of_many: str | None, *, needed: bool = True) -> str | None:
        """Give the step that is meant: an argument for one run, an option for many. Raises `CommandError`."""
        if named is not None and of_many is not None:
            raise CommandError("the step is given twice: as STEP and with --step")
        step = named if named is not None else of_many
        if step is None and needed:
            how = "--step" if self.run is None else "STEP"
            raise CommandError(
                f"which step? Give its name{'' if self.run is None else ' or number'} as {how}"
            )
        return step

    def only(self) -> str:
        """Give the one run. Raises `CommandError` where filters were given."""
        if self.run is None:
            raise CommandError("--plan is for one run: give its id")
        return self.run

    def found(self, database: Database) -> Iterator[str]:
        """Give the ids of the runs, oldest last. Raises `CommandError`."""
        if self.run is not None:
            yield self.run
            return
        since = None if self.since is None else typed.moment(self.since, database.now())
        after = None
        while True:
            page = database.runs(status=self.status, saga=self.saga, since=since, limit=PAGE, after=after)
            yield from [run.id for run in page if self._admits(run, database)]
            if len(page) < PAGE:
                return
            after = page[-1].id

    def _admits(self, run: RunRow, database: Database) -> bool:
        if self.version not in (None, run.version):
            return False
        if self.reason is None:
            return True
        return self.reason.casefold() in _park_reason(database.journal(run.id)).casefold()


def _park_reason(rows: list[EntryRow]) -> str:
    """Find why a run is parked, whatever else in its journal can't be read."""
    metas = [row.meta for row in rows if row.kind == Kind.PARKED]
    try:
        return str(json.loads(metas[-1] or "{}").get("reason", "")) if metas else ""
    except ValueError:
        return ""


def _check(run: str | None, filters: list[str], since: str | None) -> None:
    if run is not None and filters:
        raise CommandError("give a run or filters, not both")
    if "" in filters:
        raise CommandError("an empty filter would let every run through: leave it out, or say --all")
    if since is not None:
        typed.moment(since, 0)
