"""Transactional steps: the step's rows and its outcome commit together, exactly once."""

from __future__ import annotations

import asyncio
import datetime as dt
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, delete, select
from sqlalchemy.orm import Session

from amends.persistence.database import Database
from amends.persistence.tables import tables_in
from amends.sagas import (
    ActionRefused,
    Coordinator,
    DefinitionError,
    NoEffect,
    OutsideRun,
    Retry,
    Status,
    StepTimeout,
    Undo,
    current_step,
    saga,
    step,
    transaction,
)
from amends.sagas.journal import Kind
from amends.sagas.news import Attempt
from amends.sagas.outcome import Outcome
from amends.sagas.room import Room
from amends.sagas.transacting import Transacting
from tests.sagas.ledgers import BRIEF, ROWS, lost_replies, opened, put, rows
from tests.sagas.running import AT_ONCE, ONCE, ended, failure, kinds, on_a_loop, result_of

BUSY = threading.Event()
"""What an endless step waits for: the end of its test."""


@pytest.fixture
def books(database_url: str) -> Iterator[Engine]:
    """Give an engine on the application's table."""
    BUSY.clear()
    with opened(database_url) as engine:
        yield engine
    BUSY.set()


@transaction(name="tx.add", retry=AT_ONCE)
def add(db: Connection, what: str) -> int:
    return put(db, what)


@add.compensation(name="tx.remove")
def remove(undo: Undo[int], db: Connection, what: str) -> None:
    db.execute(delete(ROWS).where(ROWS.c.id == undo.result))


@saga(name="tx.adds")
async def adds(*words: str) -> list[int]:
    made = [await add(word) for word in words]
    if "bad" in words:
        raise ValueError("bad")
    return made


@on_a_loop
async def test_a_transactions_rows_and_result_are_there_together(database_url: str, books: Engine) -> None:
    """S23: the connection is no part of the record; the result comes back as on replay."""
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(adds, "a", "b")
        assert await run.result(30) == [1, 2]
        assert (await run.journal())[0].payload == b'{"what":"a"}'
    assert rows(books) == ["a", "b"]


@on_a_loop
async def test_a_session_is_given_as_annotated(database_url: str, books: Engine) -> None:
    """Section 2: what it hasn't flushed is written too; `current_step()` works inside."""

    @transaction
    def adds_by_session(session: Session, what: str) -> str:
        put(session.connection(), what)
        with session.begin_nested() as part:
            put(session.connection(), "left out")
            part.rollback()
        session.commit()
        return current_step().name

    @saga
    async def body() -> str:
        return await adds_by_session("a")

    assert "adds_by_session" in await result_of(database_url, body)
    assert rows(books) == ["a"]


@on_a_loop
async def test_an_error_rolls_back_and_proves_that_nothing_landed(database_url: str, books: Engine) -> None:
    """S2: undeclared errors are tried again by the policy, declared ones are answers; no row is left."""
    seen: list[str] = []

    @transaction(retry=AT_ONCE, no_effect=KeyError)
    def breaks(db: Connection, kind: str) -> None:
        put(db, kind)
        seen.append(kind)
        raise KeyError(kind) if kind == "answer" else RuntimeError(kind)

    @saga
    async def body(kind: str) -> None:
        await breaks(kind)

    async with Coordinator(database_url) as coordinator:
        for kind, count in (("answer", 1), ("error", 3)):
            run = await coordinator.start(body, kind)
            assert await ended(run) is Status.FAILED
            assert seen.count(kind) == count
            assert await run.left_standing() == []
            outcomes = {e.meta["outcome"] for e in await run.journal() if e.kind in (Kind.RETRY, Kind.FAILED)}
            assert outcomes == {"not_landed"}
    assert rows(books) == []


@pytest.mark.parametrize("committed", [True, False])
@on_a_loop
async def test_a_lost_reply_to_commit_does_nothing_twice(
    database_url: str, books: Engine, *, committed: bool
) -> None:
    """S3: what the key's row says is the outcome: forward and back."""
    async with Coordinator(database_url) as coordinator:
        with lost_replies(2, committed=committed):
            run = await coordinator.start(adds, "a", "b")
            assert len(await run.result(30)) == 2
        assert rows(books) == ["a", "b"]
        assert Kind.RETRY not in await kinds(run)
        with lost_replies(4, committed=committed):
            assert (await failure(await coordinator.start(adds, "c", "bad"))).status == "compensated"
    assert rows(books) == ["a", "b"]


@on_a_loop
async def test_what_a_failed_run_did_is_undone_in_transactions(database_url: str, books: Engine) -> None:
    """S9: rows and the mark that they are undone commit together."""
    async with Coordinator(database_url) as coordinator:
        assert (await failure(await coordinator.start(adds, "a", "bad"))).status == "compensated"
    assert rows(books) == []


@on_a_loop
async def test_a_step_cannot_end_its_transaction_itself(database_url: str, books: Engine) -> None:
    """S23: otherwise its rows would stand without its outcome."""

    @transaction(retry=ONCE)
    def ends(db: Connection, how: str) -> None:
        put(db, how)
        if how == "commit":
            db.commit()
        else:
            db.rollback()
            put(db, "afterwards")

    @saga
    async def body(how: str) -> None:
        await ends(how)

    async with Coordinator(database_url) as coordinator:
        for how in ("commit", "rollback"):
            error = (await failure(await coordinator.start(body, how))).error
            assert "transaction" in str(error)
    assert rows(books) == []


@on_a_loop
async def test_a_result_that_cannot_be_recorded_takes_its_rows_with_it(
    database_url: str, books: Engine
) -> None:
    """S26: what is refused before the commit hasn't landed."""

    @transaction(retry=AT_ONCE)
    def adds_wrongly(db: Connection) -> int:
        put(db, "a")
        return "no number"  # type: ignore[return-value]

    @saga
    async def body() -> None:
        await adds_wrongly()

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(body)
        assert "annotation" in str((await failure(run)).error)
        assert await run.status() is Status.FAILED
    assert rows(books) == []


@on_a_loop
async def test_a_transaction_over_its_time_cannot_commit(database_url: str, books: Engine) -> None:
    """S6: its thread goes on, its rows don't stand, and nobody waits for it."""

    @transaction(retry=ONCE, timeout=BRIEF)
    def dawdles(db: Connection) -> None:
        put(db, "late")
        BUSY.wait(20)
        put(db, "later")

    @saga
    async def body() -> None:
        await dawdles()

    async with Coordinator(database_url) as coordinator:
        assert isinstance((await failure(await coordinator.start(body))).error, StepTimeout)
        assert await (await coordinator.start(adds, "b")).result(30)
        BUSY.set()
    assert rows(books) == ["b"]


@on_a_loop
async def test_a_long_transaction_costs_no_sqlite_worker_its_lease(sqlite_url: str) -> None:
    """S18: it is broken off at half the lease, whatever its time-out, and the file is free for the others."""

    @transaction(retry=ONCE)
    def sits(db: Connection) -> None:
        put(db, "late")
        BUSY.wait(3)

    @saga
    async def body() -> None:
        await sits()

    BUSY.clear()
    with opened(sqlite_url) as books:
        async with Coordinator(sqlite_url, lease=dt.timedelta(seconds=1)) as coordinator:
            epoch = coordinator._open_parts().writer.epoch  # noqa: SLF001 - what would be lost
            run = await coordinator.start(body)
            assert await (await coordinator.start(adds, "b")).result(30)
            assert rows(books) == ["b"]
            BUSY.set()
            assert "half the worker's lease" in str((await failure(run)).error)
            assert coordinator._open_parts().writer.epoch == epoch  # noqa: SLF001 - as above
        assert rows(books) == ["b"]


@on_a_loop
async def test_a_plain_compensation_is_called_only_where_there_is_something(
    database_url: str, books: Engine
) -> None:
    """S6: without a connection it is called at least once, and not at all for what never landed."""
    undone: list[tuple[str, Any]] = []

    @transaction(retry=ONCE)
    def adds_or_breaks(db: Connection, what: str) -> int:
        if what == "breaks":
            raise RuntimeError(what)
        return put(db, what)

    @adds_or_breaks.compensation
    async def told(undo: Undo[int], what: str) -> None:
        undone.append((what, undo.result))

    @saga
    async def body() -> None:
        await adds_or_breaks("a")
        await adds_or_breaks("breaks")

    async with Coordinator(database_url) as coordinator:
        assert (await failure(await coordinator.start(body))).status == "compensated"
    assert undone == [("a", 1)]


@pytest.fixture
def room(database_url: str) -> Iterator[Room]:
    """Give the room of a log, without a coordinator."""
    database = Database.open(database_url)
    yield Room(database.guests, database.transactions, database.now)
    database.close()


def attempt(number: int, *, handler: str | None = None) -> Attempt:
    key, arguments = ("k", b'{"what":"a"}') if handler is None else ("k-undo", b'{"what":"a"}')
    return Attempt("r", 1, number, "tx.add", key, arguments, 60_000, handler, forward_key="k")


def done(room: Room, number: int) -> Transacting:
    return Transacting(room, add, attempt(number), 1 << 20)


def test_a_worker_that_is_woken_late_finds_what_another_has_done(room: Room, books: Engine) -> None:
    """S18: it reports the recorded result; nothing is done again."""
    assert done(room, 2).run() == (Outcome.LANDED, b"1", None)
    assert done(room, 1).run() == (Outcome.LANDED, b"1", None)
    assert rows(books) == ["a"]


def test_a_compensation_that_comes_first_makes_the_call_impossible(room: Room, books: Engine) -> None:
    """S6: it finds nothing to do, is remembered, and a late transaction is refused."""
    undoing = Transacting(room, remove_of(), attempt(1, handler="tx.remove@1"), 1 << 20)
    assert undoing.run()[0] is Outcome.LANDED
    outcome, _, error = done(room, 1).run()
    assert (outcome, type(error)) == (Outcome.NOT_LANDED, NoEffect)
    assert rows(books) == []


def test_a_compensation_learns_the_result_of_what_nobody_heard_of(room: Room, books: Engine) -> None:
    """S8: the run knows no result, the database does; undone twice is undone once."""
    done(room, 1).run()
    with books.begin() as db:
        put(db, "somebody else's")
    for number in (1, 2):
        undoing = Transacting(room, remove_of(), attempt(number, handler="tx.remove@1"), 1 << 20)
        assert undoing.run()[0] is Outcome.LANDED
    assert rows(books) == ["somebody else's"]
    assert done(room, 2).run()[0] is Outcome.NOT_LANDED


def test_of_two_attempts_at_once_one_does_it(room: Room, books: Engine) -> None:
    """S18: the second waits for the first to end, whichever worker it is in."""
    found: list[Any] = []
    threads = [threading.Thread(target=lambda n=n: found.append(done(room, n).run())) for n in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == [(Outcome.LANDED, b"1", None)] * 8
    assert rows(books) == ["a"]


def test_a_failing_attempt_settles_what_became_of_those_before(room: Room, books: Engine) -> None:
    """S2: evidence for all of them: none has landed, and none will."""

    @transaction(name="tx.add_or_break")
    def fails(db: Connection, what: str) -> int:
        raise RuntimeError(what)

    failing = Transacting(room, fails, attempt(2), 1 << 20)
    assert failing.run()[0] is Outcome.NOT_LANDED
    assert failing.settled
    assert done(room, 1).run()[0] is Outcome.NOT_LANDED
    assert done(room, 3).run()[0] is Outcome.LANDED
    late = Transacting(room, fails, attempt(4), 1 << 20)
    assert late.run() == (Outcome.LANDED, b"1", None)
    assert rows(books) == ["a"]


def remove_of() -> Any:
    return add.current_compensation


def test_outside_a_run_a_transaction_needs_a_connection(database_url: str, books: Engine) -> None:
    """Section 2: the error says what to call instead."""
    with pytest.raises(OutsideRun, match=r"add\.fn\(connection"):
        asyncio.run(add("a"))
    with books.begin() as db:
        assert add.fn(db, "a") == 1


def test_what_cannot_be_a_transaction_is_refused_where_it_is_defined() -> None:
    """Section 2: no connection, one of the wrong kind, options that make no sense."""

    def none(what: str) -> None: ...
    async def mixed(db: Connection, what: str) -> None: ...
    def reads(db: Connection) -> None: ...
    def of_step(undo: Undo[None], db: Connection) -> None: ...

    unfit: Any = none

    with pytest.raises(DefinitionError, match="first parameter"):
        transaction(unfit)
    with pytest.raises(DefinitionError, match="AsyncConnection or AsyncSession"):
        transaction(mixed)
    with pytest.raises(DefinitionError, match="@step"):
        transaction(effect="read")(reads)
    with pytest.raises(DefinitionError, match="parameters"):
        step(name="tx.plain")(lambda: None).compensation(of_step)  # type: ignore[arg-type]


@on_a_loop
async def test_a_pivot_may_be_a_transaction(database_url: str, books: Engine) -> None:
    """S14: landed, there is no way back."""

    @transaction(effect="pivot", retry=Retry(attempts=5, wait=dt.timedelta(0)))
    def decides(db: Connection) -> int:
        return put(db, "decided")

    @saga
    async def body() -> int:
        return await decides()

    async with Coordinator(database_url) as coordinator:
        with lost_replies(3, committed=False):
            run = await coordinator.start(body)
            await run.result(30)
        assert rows(books) == ["decided"]
        with pytest.raises(ActionRefused):
            await coordinator.undo(run.id)


@on_a_loop
async def test_a_completed_run_is_undone_in_transactions(database_url: str, books: Engine) -> None:
    """S19, S26: by the recorded results, which pass the codec like any payload."""

    class Reversed:
        def encode(self, data: bytes) -> bytes:
            return data[::-1] + b"!"

        def decode(self, data: bytes) -> bytes:
            return data[:-1][::-1]

    async with Coordinator(database_url, codec=Reversed()) as coordinator:
        run = await coordinator.start(adds, "a", "b")
        await run.result(30)
        with books.connect() as db:
            table = tables_in(prefix="amends_") if db.dialect.name == "sqlite" else tables_in(schema="amends")
            assert sorted(db.execute(select(table.transactions.c.result)).scalars()) == [b"1!", b"2!"]
        await coordinator.undo(run.id)
        assert await ended(run) is Status.COMPENSATED
    assert rows(books) == []
