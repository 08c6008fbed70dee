"""What makes a service a good participant in sagas: a barrier in its own database.

Every call brings an `Idempotency-Key`. The barrier records the answer to a key in the transaction that holds
the effect; a repeated key gets the recorded answer. Undoing names the forward call's key; where that call
hasn't come, it is refused should it come late.
"""

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from sqlalchemy import (
    URL,
    Column,
    ColumnElement,
    Connection,
    Integer,
    MetaData,
    Table,
    Text,
    create_engine,
    event,
    select,
    update,
)
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from amends.sagas.barrier import Barrier, barrier_table

METADATA = MetaData()
BARRIER = Barrier(barrier_table(METADATA))


class BadRequest(ValueError):
    """The request makes no sense; nothing is recorded for its key."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP status and a JSON body, given `seconds` from now; a refusal (4xx) comes without an effect.

    `note` is what the service says about it in its own output.
    """

    status: int
    body: Mapping[str, object]
    note: str
    seconds: float = 0.0


class Participant(ABC):
    """A service with a book of its own: a SQLite file with its effects and its barrier.

    `effects` is the table of its effects, `what` tells of one in a few words, and one in the state `standing`
    hasn't been undone.
    """

    name: ClassVar[str]
    collection: ClassVar[str]
    effects: ClassVar[Table]
    what: ClassVar[ColumnElement[str]]
    standing: ClassVar[str]

    def __init__(self, book: Path) -> None:
        url = URL.create("sqlite", database=str(book))
        self._engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": 30})
        event.listen(self._engine, "connect", _write_safely)
        METADATA.create_all(self._engine)

    @abstractmethod
    def perform(self, db: Connection, key: str, request: Mapping[str, object]) -> Answer:
        """Have the effect that is asked for, or refuse it, in the transaction that records the answer."""

    @abstractmethod
    def withdraw(self, db: Connection, key: str) -> str | None:
        """Undo the effect of the call `key` and say so in a note; None where none stands."""

    def post(self, key: str, request: Mapping[str, object]) -> Answer:
        """Answer the call `key`: from the record where there is one, else by performing it."""
        notes: list[str] = []

        def perform() -> Mapping[str, object]:
            answer = self.perform(db, key, request)
            notes.append(answer.note)
            return {"status": answer.status, "body": answer.body, "ready_at": time.time() + answer.seconds}

        with self._engine.begin() as db:
            recorded = BARRIER.forward(db, key, perform, request=request)
            asked = self.effects.c.asked
            db.execute(update(self.effects).where(self.effects.c.key == key).values(asked=asked + 1))
        note = notes[0] if notes else "the same key again: nothing is done twice"
        return Answer(recorded["status"], recorded["body"], note, recorded["ready_at"] - time.time())

    def delete(self, forward_key: str) -> Answer:
        """Undo the call `forward_key`; one that hasn't come yet is refused from now on."""
        notes: list[str] = []

        def withdraw(_performed: object) -> bool:
            note = self.withdraw(db, forward_key)
            notes.extend([note] if note else [])
            return note is not None

        with self._engine.begin() as db:
            undone = BARRIER.compensate(db, forward_key, withdraw)
        return Answer(200, {"undone": bool(undone)}, notes[0] if notes else "nothing to undo")

    def entries(self) -> list[dict[str, object]]:
        """Read the book: every effect there ever was, whether it stands, and how often it was asked for."""
        book = self.effects.c
        stands = (book.state == self.standing).label("stands")
        listing = select(book.key, book.order_id, self.what.label("what"), book.state, stands, book.asked)
        with self._engine.begin() as db:
            return [dict(row) for row in db.execute(listing.order_by(book.number)).mappings()]


def effects_table(name: str, *columns: Column[Any]) -> Table:
    """Define the table of a service's effects, each under the key that asked for it."""
    return Table(
        name,
        METADATA,
        Column("number", Integer, primary_key=True),
        Column("key", Text, unique=True, nullable=False),
        Column("order_id", Text, nullable=False),
        *columns,
        Column("state", Text, nullable=False),
        Column("asked", Integer, nullable=False, server_default="0"),
    )


def refusal(status: int, code: str, order_id: str, error: str) -> Answer:
    """Make the answer that says no to an order."""
    return Answer(status, {"code": code, "error": error}, f"refused order {order_id}: {error}")


def text(request: Mapping[str, object], field: str) -> str:
    """Read a field that must be a line of text and not empty."""
    value = request.get(field)
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise BadRequest(f"{field} must be a line of text, not {json.dumps(value)}")
    return value


def whole_number(request: Mapping[str, object], field: str) -> int:
    """Read a field that must be a whole number above zero."""
    value = request.get(field)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise BadRequest(f"{field} must be a whole number above zero, not {json.dumps(value)}")
    return value


def _write_safely(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()
