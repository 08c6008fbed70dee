"""Listing runs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from amends.cli import typed
from amends.cli.errors import CommandError
from amends.cli.group import complain
from amends.cli.output import plain, render, write, write_json
from amends.cli.reading import reading
from amends.cli.statuses import UNSERVED, in_words, style_of
from amends.persistence.attribute_records import Searched
from amends.persistence.database import Database
from amends.persistence.records import RunRow
from amends.persistence.records import Status as Stored
from amends.sagas.attributes import progress_in, searched
from amends.sagas.missing import missing
from amends.sagas.states import Status, seen
from amends.story import shown, words
from amends.story.documents import run_document
from amends.story.view import View

PAGE = 500

DERIVED: dict[str, tuple[Stored, ...]] = {
    Status.READY: (Stored.OPEN,),
    Status.QUEUED: (Stored.OPEN,),
    Status.RUNNING: (Stored.OPEN,),
    Status.WAITING: (Stored.OPEN,),
    UNSERVED: (Stored.OPEN, Stored.COMPENSATING),
}
"""Where runs of a status that isn't stored are found."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which runs are asked for."""

    status: str | None
    saga: str | None
    since: str | None
    limit: int
    after: str | None
    parent: str | None = None
    attributes: tuple[Searched, ...] = ()

    @classmethod
    def of(
        cls,
        status: str | None,
        saga: str | None,
        since: str | None,
        limit: int,
        after: str | None,
        parent: str | None = None,
        attributes: Sequence[str] | None = None,
    ) -> Wanted:
        """Check what was typed. Raises `CommandError`, `InputInvalid`."""
        known = (*(status.value for status in Status), UNSERVED)
        if status is not None and status not in known:
            raise CommandError(f"there is no status {status!r}; there are: {', '.join(known)}")
        if since is not None:
            typed.moment(since, 0)
        given = searched(typed.attributes(attributes), "--attribute")
        return cls(status, saga, since, limit, after, parent, given)

    def admits(self, run: RunRow, view: View) -> bool:
        """Tell whether a run has the status that is asked for."""
        if self.status == UNSERVED:
            return view.unserved(run)
        return self.status is None or seen(run, view.now) == self.status


def list_runs(url: str, wanted: Wanted, *, as_json: bool) -> None:
    """Print the runs asked for, as a table or as JSON."""
    with reading(url) as database:
        view = View.of(database)
        found = _found(database, wanted, view)
    runs = found[: wanted.limit]
    following = runs[-1].id if len(found) > len(runs) else None
    if as_json:
        write_json({"runs": [run_document(run, view) for run in runs], "next": following})
    elif not runs:
        write("no runs\n")
    else:
        render(_table(runs, view), table=True)
        if following is not None:
            complain(f"there are more: go on with --after {following}")


def _found(database: Database, wanted: Wanted, view: View) -> list[RunRow]:
    """Find one more run than is wanted, so that it is known whether there are more."""
    if wanted.after is not None and database.run(wanted.after) is None:
        raise CommandError(f"there is no run {wanted.after!r} in this database to go on behind")
    if wanted.parent is not None and database.run(wanted.parent) is None:
        raise missing(wanted.parent, database.removals.tombstones(wanted.parent))
    status = wanted.status
    places: tuple[Stored | None, ...] = (None,)
    if status is not None:
        places = DERIVED[status] if status in DERIVED else (Stored(status),)
    found = [
        run
        for place in places
        for run in itertools.islice(_matching(database, wanted, view, place), wanted.limit + 1)
    ]
    return sorted(found, key=lambda run: (run.created_at, run.id), reverse=True)[: wanted.limit + 1]


def _matching(database: Database, wanted: Wanted, view: View, status: Stored | None) -> Iterator[RunRow]:
    since = None if wanted.since is None else typed.moment(wanted.since, view.now)
    after = wanted.after
    size = min(wanted.limit + 1, PAGE)
    while True:
        page = database.runs(
            status=status,
            saga=wanted.saga,
            since=since,
            limit=size,
            after=after,
            parent=wanted.parent,
            attributes=wanted.attributes,
        )
        yield from (run for run in page if wanted.admits(run, view))
        if len(page) < size:
            return
        after, size = page[-1].id, PAGE


def _table(runs: list[RunRow], view: View) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    table.add_column("RUN", no_wrap=True, min_width=max(len(run.id) for run in runs))
    table.add_column("SAGA", no_wrap=True, overflow="ellipsis")
    table.add_column("STATUS", no_wrap=True, overflow="ellipsis")
    table.add_column("STARTED", no_wrap=True)
    table.add_column("TOOK", no_wrap=True)
    progress = [progress_in(run.progress) for run in runs]
    if any(progress):
        table.add_column("PROGRESS", no_wrap=True, overflow="ellipsis")
    for run, done in zip(runs, progress, strict=True):
        table.add_row(*_cells(run, view), *([plain(shown.bar(done))] if done is not None else []))
    return table


def _cells(run: RunRow, view: View) -> tuple[Any, ...]:
    took = "" if run.ended_at is None else words.duration(run.ended_at - run.created_at)
    return (
        plain(run.id),
        plain(run.saga),
        plain(in_words(run, view), style_of(run, view)),
        plain(words.relative(run.created_at, view.now), "dim"),
        plain(took, "dim"),
    )
