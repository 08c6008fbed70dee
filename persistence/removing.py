"""The statements by which runs are removed for good; what stays is that their ids are taken."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    Text,
    and_,
    bindparam,
    case,
    delete,
    exists,
    false,
    func,
    null,
    select,
    text,
    tuple_,
    update,
)

from amends.persistence.backend import Backend, id_listing
from amends.persistence.once import once
from amends.persistence.removal_records import Candidate, Removal, Tombstone
from amends.persistence.tables import KEPT

NEVER: Final = -1
"""What can be undone ended before this: never."""
_TOMBSTONE: Final = ("id", "saga", "status", "ended_at", "removed_at")
_EMPTIED: Final = ("result", "error", "trace", "queue_key", "above", "attributes", "progress", "undoable")
"""What a run that was removed no longer says of itself."""


class Removing:
    """Removing runs; each method belongs into one transaction."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        once(self, backend.tables, self._prepare_choice, self._prepare_removal)

    def remove(self, connection: Connection, removal: Removal, now: int) -> None:
        """Remove those of the families that may be removed as they stand now, with all that is theirs."""
        given = {"ids": id_listing(removal.ids)} | limits(removal.before, removal.undoable_before)
        chosen = list(connection.execute(self._choose, given).scalars())
        if not chosen:
            return
        family = chosen + list(connection.execute(self._below, {"ids": id_listing(chosen)}).scalars())
        ids = {"ids": id_listing(family)}
        for statement in self._deletes:
            connection.execute(statement, ids)
        connection.execute(self._strip, ids | {"now": now})

    def _prepare_choice(self) -> None:
        runs = self._backend.tables.runs
        self._choose = (
            select(runs.c.id)
            .where(self._backend.among(runs.c.id, "ids"), is_over(self._backend), ~is_kept(self._backend))
            .with_for_update(skip_locked=True)
        )
        self._below = select(runs.c.id).where(self._backend.among(runs.c.root, "ids"))

    def _prepare_removal(self) -> None:
        tables = self._backend.tables
        runs, approvals, votes = tables.runs, tables.approvals, tables.votes
        asked = select(approvals.c.id).where(self._backend.among(approvals.c.run_id, "ids"))
        theirs = (
            tables.journal,
            tables.inbox,
            approvals,
            tables.attributes,
            tables.transactions,
            tables.audit,
        )
        self._deletes = (
            delete(votes).where(votes.c.approval_id.in_(asked)),
            *(delete(table).where(self._backend.among(table.c.run_id, "ids")) for table in theirs),
        )
        nothing = dict.fromkeys(_EMPTIED, null())
        self._strip = (
            update(runs)
            .where(self._backend.among(runs.c.id, "ids"))
            .values(nothing | {"input": b"", "removed_at": bindparam("now", type_=BigInteger)})
        )


class RemovalQueries:
    """What can be asked about what is to be removed, and was, each over a connection of its own."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        runs = backend.tables.runs
        self._page: Select[Any] = (
            select(runs.c.id, runs.c.created_at, case((is_kept(backend), 1), else_=0))
            .where(
                runs.c.created_at < bindparam("before", type_=BigInteger),
                tuple_(runs.c.created_at, runs.c.id)
                > tuple_(bindparam("created", type_=BigInteger), bindparam("after", type_=Text)),
                is_over(backend),
            )
            .order_by(runs.c.created_at, runs.c.id)
            .limit(bindparam("most", type_=BigInteger))
        )
        self._tombstones = select(*(runs.c[name] for name in _TOMBSTONE)).where(
            backend.among(runs.c.id, "ids"), runs.c.removed_at.is_not(None)
        )

    def candidates(
        self, before: int, undoable_before: int | None, saga: str | None, after: Candidate | None, most: int
    ) -> list[Candidate]:
        """Return runs that have ended before a moment with all below them, the oldest first, a page of them.

        Child runs go with the runs above them, and aren't named.
        """
        page = self._page
        if saga is not None:
            page = page.where(self._backend.tables.runs.c.saga == saga)
        given = (
            {"created": -1, "after": ""}
            if after is None
            else {"created": after.created_at, "after": after.id}
        )
        with self._backend.reads.connect() as connection:
            rows = connection.execute(page, given | limits(before, undoable_before) | {"most": most})
            return [Candidate(run_id, created_at, bool(kept)) for run_id, created_at, kept in rows]

    def tombstones(self, *ids: str) -> list[Tombstone]:
        """Return what is left of those of the runs that were removed."""
        with self._backend.reads.connect() as connection:
            rows = connection.execute(self._tombstones, {"ids": id_listing(ids)})
            return [Tombstone(*row) for row in rows]


def limits(before: int, undoable_before: int | None) -> dict[str, int]:
    """Return the parameters of `is_over` and `is_kept`."""
    return {"before": before, "undoable_before": NEVER if undoable_before is None else undoable_before}


def is_over(backend: Backend) -> ColumnElement[bool]:
    """Say that a run is below no other, has ended before a moment, and all below it has ended too."""
    runs = backend.tables.runs
    below = runs.alias("below")
    going = exists().where(below.c.root == runs.c.id, below.c.ended_at.is_(None))
    ended = runs.c.ended_at < bindparam("before", type_=BigInteger)
    return and_(text(KEPT), runs.c.parent.is_(None), ended, ~going)


def is_kept(backend: Backend) -> ColumnElement[bool]:
    """Say that a run can still be undone, and has not ended long enough ago."""
    runs = backend.tables.runs
    recent = runs.c.ended_at >= bindparam("undoable_before", type_=BigInteger)
    return and_(func.coalesce(runs.c.undoable, false()), recent)
