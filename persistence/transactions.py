"""The rows that make transactional steps exactly-once: one per key, written with the step's own rows.

Whatever attempt of a step commits has its key's row in the same transaction, and the table's primary key lets
only one of them do so. Whoever comes second waits for the first to end, and then reads what it has done.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from sqlalchemy import Connection, Row, select, update
from sqlalchemy.dialects.postgresql import insert  # both databases compile its ON CONFLICT
from sqlalchemy.sql.schema import Table

from amends.persistence.codec import Codec
from amends.persistence.errors import RecordUnreadable


class Stand(Enum):
    """How the transaction of a key stands."""

    NEW = "new"
    """Nothing has landed: the caller's transaction is the one that may."""
    LANDED = "landed"
    """It has landed before; its result is on record."""
    UNDONE = "undone"
    """Its compensation has come: it doesn't stand, and never will."""
    REFUSED = "refused"
    """It hasn't landed, and attempts up to this one never will."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is on record of a key: how it stands, and the result of what has landed."""

    stand: Stand
    result: bytes | None = None


NEW = Recorded(Stand.NEW)
REFUSED = Recorded(Stand.REFUSED)


class Transactions:
    """The statements about these rows; each belongs into one transaction, and locks its row until the end.

    Payloads pass the codec here.
    """

    def __init__(self, table: Table, codec: Codec) -> None:
        self._table = table
        self._codec = codec

    def enter(self, connection: Connection, key: str, run_id: str, attempt: int, now: int) -> Recorded:
        """Enter an attempt's transaction under its key, unless it has landed or may not land any more."""
        if self._insert(connection, key, run_id, refused=0, landed_at=now):
            return NEW
        row = self._locked(connection, key)
        if row.landed_at is not None or row.undone_at is not None:
            return self._recorded(row)
        if attempt <= row.refused:
            return REFUSED
        self._set(connection, key, landed_at=now)
        return NEW

    def keep(self, connection: Connection, key: str, result: bytes) -> None:
        """Keep the result of the transaction that was entered."""
        self._set(connection, key, result=self._codec.encode(result))

    def refuse(self, connection: Connection, key: str, run_id: str, attempt: int) -> Recorded:
        """See that no attempt up to this one lands any more, unless one has."""
        if self._insert(connection, key, run_id, refused=attempt):
            return REFUSED
        row = self._locked(connection, key)
        if row.landed_at is not None or row.undone_at is not None:
            return self._recorded(row)
        if row.refused < attempt:
            self._set(connection, key, refused=attempt)
        return REFUSED

    def undo(self, connection: Connection, key: str, run_id: str, now: int, *, mark: bool = True) -> Recorded:
        """See that nothing of the key lands from now on; tell what was there to be undone.

        What has landed is marked as undone, unless `mark` is False.
        """
        if self._insert(connection, key, run_id, refused=0, undone_at=now):
            return Recorded(Stand.UNDONE)
        row = self._locked(connection, key)
        found = self._recorded(row)
        if row.undone_at is None and (mark or row.landed_at is None):
            self._set(connection, key, undone_at=now)
        return found

    def _insert(self, connection: Connection, key: str, run_id: str, **values: int) -> bool:
        """Insert the key's row; False where there is one, after waiting for whoever is just inserting it."""
        table = self._table
        row = insert(table).values(key=key, run_id=run_id, **values)
        new = row.on_conflict_do_nothing(index_elements=[table.c.key]).returning(table.c.key)
        return connection.execute(new).one_or_none() is not None

    def _locked(self, connection: Connection, key: str) -> Row[Any]:
        table = self._table
        return connection.execute(select(table).where(table.c.key == key).with_for_update()).one()

    def _set(self, connection: Connection, key: str, **values: int | bytes) -> None:
        table = self._table
        connection.execute(update(table).where(table.c.key == key).values(**values))

    def _recorded(self, row: Row[Any]) -> Recorded:
        if row.undone_at is not None:
            return Recorded(Stand.UNDONE)
        if row.landed_at is None:
            return REFUSED
        try:
            result = None if row.result is None else self._codec.decode(row.result)
        except Exception as error:
            raise RecordUnreadable(
                f"the recorded result of the transaction {row.key} can't be decoded: {error}"
            ) from error
        return Recorded(Stand.LANDED, result)
