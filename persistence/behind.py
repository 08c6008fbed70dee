"""Runs that stand behind others of their key, out of the way of those whose turn it may be.

Whoever gives places in a queue reads those who wait, in their order. Where most of them belong to keys of
which no further run may begin, reading past them each time would cost more the longer the queue is. So they
are set aside, and come back in their order once their key has room: each of them moves twice, or little more
often, and a look costs as much as there are keys with such runs, however many runs there are.

All of it happens under the lock of the queue's row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Connection,
    Select,
    Text,
    bindparam,
    func,
    literal_column,
    select,
    text,
    tuple_,
    update,
)

from amends.persistence.backend import Backend, id_listing, listing
from amends.persistence.leases import is_served, served
from amends.persistence.once import once
from amends.persistence.queue_records import Place, QueueRow
from amends.persistence.records import Serves
from amends.persistence.tables import KEYED

QUEUED: Final = literal_column(f"'{Place.QUEUED.value}'", Text)
BEHIND: Final = literal_column(f"'{Place.BEHIND.value}'", Text)


class Behind:
    """Setting runs aside and bringing them back; each method belongs into one transaction."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        once(self, backend.tables, self._prepare_aside, self._prepare_back)

    def set_aside(self, connection: Connection, ids: Sequence[str]) -> None:
        """Set runs aside that wait in vain, and that are locked."""
        connection.execute(self._set_aside, {"ids": id_listing(sorted(ids))})

    def bring_back(
        self, connection: Connection, row: QueueRow, of_key: Mapping[str, int], serves: Serves, room: int
    ) -> None:
        """Bring back who comes next of each key that has room, for at most `room` runs which are to begin.

        Afterwards those who come next of a key stand among those who wait, as many as the key has room for.
        """
        if row.per_key is None:
            return
        behind = connection.execute(self._keys, {"of_queue": row.name}).scalars()
        free = {key: min(row.per_key - of_key.get(key, 0), room) for key in behind}
        keys = sorted((key, left) for key, left in free.items() if left > 0)
        given = served(serves) | {"of_queue": row.name, "keys": listing(("id", "room"), keys), "most": room}
        for _ in range(max(free.values(), default=0)):
            if not connection.execute(self._bring_back, given).rowcount:
                break

    def bring_all_back(self, connection: Connection, queue: str) -> None:
        """Bring all runs of a queue back: keys don't matter there any more."""
        connection.execute(self._bring_all_back, {"of_queue": queue})

    def _prepare_aside(self) -> None:
        runs = self._backend.tables.runs
        here = (runs.c.queue == bindparam("of_queue", type_=Text), runs.c.place == BEHIND, text(KEYED))
        among = self._backend.among(runs.c.id, "ids")
        self._set_aside = update(runs).where(among).values(place=BEHIND)
        self._bring_all_back = update(runs).where(*here).values(place=QUEUED)
        # One look into the index for each key: https://wiki.postgresql.org/wiki/Loose_indexscan
        keys = select(func.min(runs.c.queue_key).label("key")).where(*here).cte("keys", recursive=True)
        later = runs.alias("later")
        following = select(func.min(later.c.queue_key)).where(
            later.c.queue == bindparam("of_queue", type_=Text),
            later.c.place == BEHIND,
            text(KEYED),
            later.c.queue_key > keys.c.key,
        )
        keys = keys.union_all(select(following.scalar_subquery()).where(keys.c.key.is_not(None)))
        self._keys = select(keys.c.key).where(keys.c.key.is_not(None))

    def _prepare_back(self) -> None:
        runs = self._backend.tables.runs
        keys = self._backend.listed("keys", {"id": Text, "room": BigInteger}).alias("keys")
        following, first = runs.alias("following"), runs.alias("first")
        next_of_key = (
            self._of_key(following, keys)
            .where(following.c.place == BEHIND)
            .order_by(*_order(following))
            .limit(literal_column("1"))
        )
        before = runs.alias("before")
        who_comes_before = (
            self._of_key(before, keys)
            .where(before.c.place == QUEUED, tuple_(*_order(before)) < tuple_(*_order(first)))
            .limit(bindparam("most", type_=BigInteger))
            .correlate(keys, first)
            .subquery("who")
        )
        enough = select(func.count()).select_from(who_comes_before).correlate(keys, first)
        found = (
            select(first.c.id)
            .select_from(keys.join(first, first.c.id == next_of_key.correlate(keys).scalar_subquery()))
            .where(enough.scalar_subquery() < keys.c.room)
            .with_for_update(of=first, skip_locked=True)
        )
        self._bring_back = update(runs).where(runs.c.id.in_(found)).values(place=QUEUED)

    def _of_key(self, runs: Any, keys: Any) -> Select[tuple[str]]:
        """Select the runs of a key that wait, and that the worker can run."""
        here = (runs.c.queue == bindparam("of_queue", type_=Text), runs.c.queue_key == keys.c.id, text(KEYED))
        return select(runs.c.id).where(*here, is_served(self._backend, runs))


def _order(runs: Any) -> tuple[Any, ...]:
    return runs.c.priority, runs.c.created_at, runs.c.id
