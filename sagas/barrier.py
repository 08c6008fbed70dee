"""The participant barrier: makes the handlers of a service safe to be called by sagas.

A saga calls a service at least once for an effect, under one idempotency key, and its compensation may come
twice, or before the call that it undoes. The barrier keeps one row per key in a table of the service's own,
written in the same transaction as the service's rows, so that there is never the one without the other:

- a key that comes again gets the recorded answer, and nothing is done;
- a compensation for which nothing is there succeeds, and the call that it undoes is refused when it comes;
- a compensation that comes again undoes nothing twice.

Which of two concurrent calls is the first is decided by the table's primary key. Works with SQLAlchemy
connections and sessions, on SQLite (3.35 or newer) and PostgreSQL. See docs/participants.md.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    MetaData,
    Row,
    String,
    Table,
    Text,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert  # both databases compile its ON CONFLICT

from amends.sagas.errors import AmendsError, InputInvalid

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

__all__ = ["Barrier", "BarrierBroken", "CalledTooLate", "KeyReused", "barrier_table"]

LONGEST_KEY: Final = 255


class CalledTooLate(AmendsError):
    """The call's compensation came before it: the call is refused, and nothing was done (S6)."""


class KeyReused(AmendsError):
    """The key came with another request before; what that one did stays as it is."""


class BarrierBroken(AmendsError):
    """A row of the barrier was committed without its answer: its handler didn't share its transaction."""


def barrier_table(metadata: MetaData, name: str = "amends_barrier", *, schema: str | None = None) -> Table:
    """Define the barrier's table among the service's own, to be made with them.

    One row per forward key. `request` is a digest, `answer` and `undo_answer` are JSON, `called_at` and
    `undone_at` milliseconds since 1970; a row without `called_at` is a compensation that came first.
    """
    return Table(
        name,
        metadata,
        Column("key", String(LONGEST_KEY), primary_key=True),
        Column("request", String(32)),
        Column("answer", Text),
        Column("called_at", BigInteger),
        Column("undone_at", BigInteger),
        Column("undo_answer", Text),
        CheckConstraint("called_at IS NOT NULL OR undone_at IS NOT NULL", name=f"{name}_moment"),
        schema=schema,
    )


def _system_time() -> int:
    return time.time_ns() // 1_000_000


class Barrier:
    """Answers each key once. `clock` gives milliseconds since 1970; rows are dated by it.

    Call it before anything else in the transaction, and commit what the handler wrote together with it.

    >>> metadata = MetaData()
    >>> barrier = Barrier(barrier_table(metadata))
    """

    def __init__(self, table: Table, *, clock: Callable[[], int] = _system_time) -> None:
        self.table = table
        self._clock = clock

    def forward(
        self, db: Connection | Session, key: str, handler: Callable[[], Any], *, request: object = None
    ) -> Any:
        """Answer a forward call: by `handler()` if its key is new, else with the answer on record.

        Answers are JSON and come back as they will the next time: decoded. A refusal that is to stay one is
        an answer too; an error that the handler raises is recorded nowhere once the transaction is rolled
        back, and the next call of the key is new. With `request`, anything that JSON can tell, a key that
        comes again with another one is `KeyReused`. Raises `CalledTooLate` once the key was compensated.
        """
        digest = None if request is None else _digest(request)
        while True:
            if self._insert(db, key, request=digest, called_at=self._clock()):
                answer = _encoded(handler())
                db.execute(update(self.table).where(self.table.c.key == key).values(answer=answer))
                return json.loads(answer)
            row = db.execute(select(self.table).where(self.table.c.key == key)).one_or_none()
            if row is not None:
                return _recorded(row, digest)

    def compensate(self, db: Connection | Session, key: str, handler: Callable[[Any], Any]) -> Any:
        """Undo the forward call `key`: by `handler(its recorded answer)`, unless that was done before.

        Gives the handler's answer, which is JSON; the one on record where the key was compensated before;
        and None, without calling it, where the forward call hasn't come: it will be refused from now on.
        """
        table = self.table
        while True:
            if self._insert(db, key, undone_at=self._clock(), undo_answer="null"):
                return None
            first = update(table).where(table.c.key == key, table.c.undone_at.is_(None))
            row = db.execute(first.values(undone_at=self._clock()).returning(table)).one_or_none()
            if row is not None:
                answer = _encoded(handler(_answer(row, row.answer)))
                db.execute(update(table).where(table.c.key == key).values(undo_answer=answer))
                return json.loads(answer)
            row = db.execute(select(table).where(table.c.key == key)).one_or_none()
            if row is not None:
                return _answer(row, row.undo_answer)

    def forget(self, db: Connection | Session, before: dt.datetime) -> int:
        """Delete the rows of calls and compensations older than `before`, an aware moment; give the count.

        A forgotten key is new again: no saga may call or compensate with it any more.
        """
        if before.tzinfo is None:
            raise InputInvalid(f"forget(before={before!r}) needs an aware datetime")
        table = self.table
        moment = func.coalesce(table.c.undone_at, table.c.called_at)
        old = delete(table).where(moment < round(before.timestamp() * 1000))
        return len(db.execute(old.returning(table.c.key)).all())

    def _insert(self, db: Connection | Session, key: str, **values: str | int | None) -> bool:
        """Insert the key's row; False where there is one, after waiting for whoever is just inserting it."""
        if not 1 <= len(key) <= LONGEST_KEY or not key.isprintable():
            raise InputInvalid(f"a key is 1 to {LONGEST_KEY} printable characters, not {key!r:.300}")
        row = insert(self.table).values(key=key, **values)
        new = row.on_conflict_do_nothing(index_elements=[self.table.c.key]).returning(self.table.c.key)
        return db.execute(new).one_or_none() is not None


def _recorded(row: Row[Any], digest: str | None) -> Any:
    if row.undone_at is not None:
        raise CalledTooLate(f"the call {row.key} was undone before it came; nothing was done")
    if digest is not None and row.request not in (None, digest):
        raise KeyReused(f"the key {row.key} came with another request before")
    return _answer(row, row.answer)


def _answer(row: Row[Any], answer: str | None) -> Any:
    if answer is None:
        raise BarrierBroken(
            f"the barrier's row for {row.key} was committed although its handler wasn't done: see what "
            "stands. The handler's errors must roll the transaction back, and it can't be one in autocommit"
        )
    return json.loads(answer)


def _encoded(answer: object) -> str:
    try:
        return json.dumps(answer, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputInvalid(f"an answer must be JSON, so that it can be given again: {error}") from error


def _digest(request: object) -> str:
    try:
        text = json.dumps(request, sort_keys=True)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputInvalid(f"a request must be JSON, so that it can be compared: {error}") from error
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
