"""The reads of whoever watches runs: what has changed since they looked last."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, bindparam, null, select

from amends.persistence.backend import Backend, id_listing
from amends.persistence.records import RunRow
from amends.persistence.rows import SEEN_COLUMNS, Reader

_PAYLOADS = ("input", "result", "error")


class Changes:
    """Runs as people watch them, without payloads; each method is one statement.

    A run's row holds the number of its last change, which the database gives. What somebody has seen is a
    moment and not a number, because on PostgreSQL changes are numbered before they can be seen: one that
    comes to light late has a lower number than others that were seen already, and is still found.
    """

    def __init__(self, backend: Backend, reader: Reader) -> None:
        self._reader = reader
        runs = backend.tables.runs
        columns = [null().label(name) if name in _PAYLOADS else runs.c[name] for name in SEEN_COLUMNS]
        among = backend.among(runs.c.id, "ids")
        changed = select(*columns, backend.moment().label("moment")).where(backend.changed_since("since"))
        self._moment = select(backend.moment())
        self._changed = changed
        self._changed_of = changed.where(among)
        kept = select(*columns).where(runs.c.removed_at.is_(None))
        self._of = kept.where(among)
        self._lately = kept.order_by(runs.c.changed.desc()).limit(bindparam("most"))

    def moment(self, connection: Connection) -> str:
        """Return what is seen now."""
        return str(connection.execute(self._moment).scalar_one())

    def since(
        self, connection: Connection, since: str, ids: Collection[str] | None
    ) -> tuple[list[RunRow], str]:
        """Return the runs that were changed since a moment, and the moment of the answer.

        That is the old one where nothing was changed, which is as good.
        """
        given = {"since": since} if ids is None else {"since": since, "ids": id_listing(ids)}
        rows = connection.execute(self._changed if ids is None else self._changed_of, given).all()
        moment = str(rows[0].moment) if rows else since
        return [self._reader.run(row[: len(SEEN_COLUMNS)]) for row in rows], moment

    def of(self, connection: Connection, ids: Collection[str]) -> list[RunRow]:
        """Return runs as they are."""
        return [self._reader.run(row) for row in connection.execute(self._of, {"ids": id_listing(ids)})]

    def lately(self, connection: Connection, most: int) -> list[RunRow]:
        """Return the runs that changed last, at most so many."""
        return [self._reader.run(row) for row in connection.execute(self._lately, {"most": most})]
