"""What makes a service a good participant in sagas: one effect per key, and a barrier against late calls.

Every call brings an `Idempotency-Key`. The answer to a key is recorded in the same SQLite transaction as the
effect, so that there is never one without the other; a repeated key gets the recorded answer. Undoing names
the forward call's key. Where that call hasn't come, a refusal is recorded for it: should it arrive late, it
has no effect any more.
"""

import json
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

CALLS = """
CREATE TABLE IF NOT EXISTS calls (
    key      TEXT PRIMARY KEY,       -- the Idempotency-Key
    request  TEXT,                   -- what was asked, or NULL where its undoing came first
    status   INTEGER NOT NULL,       -- of the HTTP answer
    body     TEXT    NOT NULL,       -- of the HTTP answer, JSON
    ready_at REAL    NOT NULL,       -- seconds since 1970: the answer isn't given before
    asked    INTEGER NOT NULL        -- how often the key has come
);
"""


class BadRequest(ValueError):
    """The request makes no sense; nothing is recorded for its key."""


class KeyReused(ValueError):
    """The key came with another request before; what that one did stays as it is."""


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
    """A service with a book of its own: a SQLite file with its effects, and the calls that asked for them."""

    name: ClassVar[str]
    collection: ClassVar[str]
    schema: ClassVar[str]
    listing: ClassVar[str]

    def __init__(self, book: Path) -> None:
        self.book = book
        with closing(self._connect()) as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.executescript(CALLS + self.schema)

    @abstractmethod
    def perform(self, db: sqlite3.Connection, key: str, request: Mapping[str, object]) -> Answer:
        """Have the effect that is asked for, or refuse it, in the transaction that records the answer."""

    @abstractmethod
    def withdraw(self, db: sqlite3.Connection, key: str) -> str | None:
        """Undo the effect of the call `key` and say so in a note; None where none stands."""

    def post(self, key: str, request: Mapping[str, object]) -> Answer:
        """Answer the call `key`: from the record where there is one, else by performing it."""
        asked = json.dumps(request, sort_keys=True)
        with self._transaction() as db:
            recorded = self._recorded(db, key, asked)
            return recorded or self._record(db, key, asked, self.perform(db, key, request))

    def delete(self, key: str, forward_key: str) -> Answer:
        """Undo the call `forward_key`; one that hasn't come yet is refused from now on."""
        asked = f"undo {forward_key}"
        with self._transaction() as db:
            recorded = self._recorded(db, key, asked)
            return recorded or self._record(db, key, asked, self._undo(db, forward_key))

    def entries(self) -> list[dict[str, object]]:
        """Read the book: every effect there ever was, whether it stands, and how often it was asked for."""
        with self._transaction() as db:
            return [dict(row) for row in db.execute(self.listing)]

    def _undo(self, db: sqlite3.Connection, forward_key: str) -> Answer:
        if not db.execute("SELECT 1 FROM calls WHERE key = ?", (forward_key,)).fetchone():
            late = {"code": "undone", "error": f"the call {forward_key} was undone before it came"}
            self._record(db, forward_key, None, Answer(409, late, note=""))
        note = self.withdraw(db, forward_key)
        return Answer(200, {"undone": note is not None}, note or "nothing to undo")

    @staticmethod
    def _recorded(db: sqlite3.Connection, key: str, asked: str) -> Answer | None:
        row = db.execute("UPDATE calls SET asked = asked + 1 WHERE key = ? RETURNING *", (key,)).fetchone()
        if row is None:
            return None
        if row["request"] not in (asked, None):
            raise KeyReused(f"the key {key} came with another request before")
        note = "the same key again: nothing is done twice" if row["request"] else "undone before: refused"
        return Answer(row["status"], json.loads(row["body"]), note, row["ready_at"] - time.time())

    @staticmethod
    def _record(db: sqlite3.Connection, key: str, asked: str | None, answer: Answer) -> Answer:
        ready_at = time.time() + answer.seconds
        record = (key, asked, answer.status, json.dumps(answer.body), ready_at, 1 if asked else 0)
        db.execute("INSERT INTO calls VALUES (?, ?, ?, ?, ?, ?)", record)
        return answer

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.book, timeout=30, isolation_level=None)
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA synchronous = FULL")
        return db

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with closing(self._connect()) as db, db:
            db.execute("BEGIN IMMEDIATE")
            yield db


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
