"""Load runs with their journals and unread inboxes, however many, by one query."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    SmallInteger,
    cast,
    false,
    literal,
    null,
    select,
    union_all,
)

from amends.persistence.backend import Backend, id_listing
from amends.persistence.records import Loaded, RunRow
from amends.persistence.rows import Reader


class Loading:
    """The query for everything that belongs to some runs."""

    def __init__(self, backend: Backend, reader: Reader) -> None:
        self._reader = reader
        journal, inbox = backend.tables.journal, backend.tables.inbox
        nothing = cast(null(), BigInteger)
        entries = select(
            journal.c.run_id,
            literal(0, Integer).label("is_inbox"),
            journal.c.seq,
            journal.c.kind,
            journal.c.at,
            journal.c.ref,
            journal.c.attempt,
            journal.c.name,
            journal.c.meta,
            journal.c.payload,
            journal.c.format,
        ).where(backend.among(journal.c.run_id, "ids"))
        messages = select(
            inbox.c.run_id,
            literal(1, Integer),
            inbox.c.number,
            inbox.c.kind,
            inbox.c.at,
            nothing,
            nothing,
            inbox.c.key,
            inbox.c.meta,
            inbox.c.payload,
            cast(null(), SmallInteger),
        ).where(backend.among(inbox.c.run_id, "ids"), inbox.c.taken == false())
        both = union_all(entries, messages).subquery("events")
        self._events = select(both).order_by(both.c.run_id, both.c.is_inbox, both.c.seq)

    def loaded(
        self, connection: Connection, runs: Sequence[RunRow], epoch: int | None = None
    ) -> list[Loaded]:
        """Return `runs` with what belongs to them; `epoch` is the lease under which they were claimed."""
        events = connection.execute(self._events, {"ids": id_listing(run.id for run in runs)})
        return self._reader.loaded(runs, events, epoch)
