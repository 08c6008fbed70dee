"""Removing what has ended long ago: never what goes on, belongs to what goes on, or can still be undone."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass

from amends.persistence.records import AuditRow, Write, Written
from amends.persistence.removal_records import Candidate, Removal
from amends.sagas import checked
from amends.sagas.desk import Desk
from amends.sagas.errors import AmendsError, InputInvalid

SHORTEST = dt.timedelta(hours=1)
"""So long after its end a run stays at least: attempts that were given up may still tell of themselves."""
TOGETHER = 100
"""So many runs, with those below them, are removed in one transaction."""
TRAIL = "gc:"
"""Under this name removals stand in the audit trail."""


@dataclass(frozen=True, slots=True)
class Collected:
    """How many runs were removed (child runs not counted), and how many kept since they can be undone."""

    removed: int
    kept: int


@dataclass(frozen=True, slots=True)
class Policy:
    """Which runs are removed: those that ended before moments in milliseconds, of one saga or of all."""

    before: int
    undoable_before: int | None
    saga: str | None

    def removal(self, page: list[Candidate]) -> Removal:
        """Make the removal of a page's runs."""
        ids = tuple(run.id for run in page if not run.kept)
        return Removal(ids, self.before, self.undoable_before)


def policy(
    now: int, older_than: dt.timedelta, undoable_older_than: dt.timedelta | None, saga: str | None
) -> Policy:
    """Check what is asked for. Raises `InputInvalid`."""
    undoable = None
    if undoable_older_than is not None:
        undoable = now - _long(undoable_older_than, "undoable_older_than")
    return Policy(
        now - _long(older_than, "older_than"), undoable, None if saga is None else checked.an_id(saga, "saga")
    )


async def collect(desk: Desk, wanted: Policy, by: str, *, dry_run: bool) -> Collected:
    """Remove what the policy names, page by page. Raises `AmendsError` where the database refuses it."""
    removed, kept, after = 0, 0, None
    person = checked.person(by, "who asks")
    while page := await _page(desk, wanted, after):
        after = page[-1]
        kept += sum(run.kept for run in page)
        removal = wanted.removal(page)
        if removal.ids and dry_run:
            removed += len(removal.ids)
        elif removal.ids:
            removed += await _remove(desk, removal)
    if removed and not dry_run:
        detail = json.dumps({"removed": removed, "before": wanted.before, "saga": wanted.saga})
        await desk.write(Write(TRAIL, audit=(AuditRow(TRAIL, desk.now(), person, "gc", detail),)))
    return Collected(removed, kept)


async def _page(desk: Desk, wanted: Policy, after: Candidate | None) -> list[Candidate]:
    return await desk.ask(
        lambda database: database.removals.candidates(
            wanted.before, wanted.undoable_before, wanted.saga, after, TOGETHER
        )
    )


async def _remove(desk: Desk, removal: Removal) -> int:
    receipt = await desk.write(Write(TRAIL, removal=removal))
    if receipt.written is not Written.DONE:
        raise AmendsError(f"runs could not be removed: {receipt.reason or receipt.written}")
    return len(await desk.ask(lambda database: database.removals.tombstones(*removal.ids)))


def _long(duration: dt.timedelta, what: str) -> int:
    checked.duration(duration, what, InputInvalid)
    if duration < SHORTEST:
        raise InputInvalid(f"{what}={duration} must be at least an hour")
    return round(duration / checked.MILLISECOND)
