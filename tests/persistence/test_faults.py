"""Databases that fail: nothing acknowledged is lost, nothing written twice, nobody pays for another."""

import logging
import random
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, repeat
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError

from amends.persistence.database import Database
from amends.persistence.faults import Fault, fault_of
from amends.persistence.records import InboxRow, RunChange, Status, Write, Written
from tests.persistence.proxy import Fate, proxied
from tests.persistence.workers import Worker, ended, entry, log, new_run


def test_one_refused_row_harms_nobody_else(worker: Worker, database: Database) -> None:
    """L3: of a thousand turns one is refused, in a logarithmic number of transactions."""
    names = [f"r{n:03}" for n in range(1_000)]
    worker.start(*names)
    worker.claim()
    worker.enter("r500", 1)
    with counted("begin") as begun:
        receipts = worker.write_together([Write(i, worker.epoch, entries=(entry(i, 1),)) for i in names])
    refused = [i for i, receipt in zip(names, receipts, strict=True) if receipt.written is not Written.DONE]
    assert refused == ["r500"]
    assert receipts[500].written is Written.REFUSED
    assert "journal" in receipts[500].reason
    assert all(len(database.journal(i)) == 1 for i in ("r000", "r499", "r500", "r501", "r999"))
    assert begun() <= 2 * 11


def test_all_refused_rows_of_a_batch_are_found(worker: Worker, database: Database) -> None:
    names = [f"r{n:03}" for n in range(100)]
    worker.start(*names)
    worker.claim()
    bad = {"r000", "r001", "r050", "r099"}
    for run_id in bad:
        worker.enter(run_id, 1)
    receipts = worker.write_together([Write(i, worker.epoch, entries=(entry(i, 1),)) for i in names])
    assert {i for i, r in zip(names, receipts, strict=True) if r.written is Written.REFUSED} == bad


def test_a_refused_write_leaves_nothing_of_itself(worker: Worker, database: Database) -> None:
    worker.start("a")
    worker.claim()
    worker.enter("a", 2)
    late = InboxRow("a", "k", "signal", 1)
    write = Write("a", worker.epoch, entries=(entry("a", 1), entry("a", 2)), change=ended(), inbox=late)
    assert worker.write(write).written is Written.REFUSED
    assert [row.seq for row in database.journal("a")] == [2]
    run = database.run("a")
    assert run is not None
    assert (run.status, run.mail) == (Status.OPEN, 0)


def test_the_tables_refuse_what_cannot_be(worker: Worker) -> None:
    """S13: an end has a time, and only an end."""
    worker.start("a")
    worker.claim()
    assert worker.change("a", RunChange(Status.COMPLETED)) is Written.REFUSED
    assert worker.change("a", RunChange(Status.OPEN, ended_at=5)) is Written.REFUSED
    assert worker.change("a", ended()) is Written.DONE


def test_the_words_of_a_refusal_do_not_show_the_row(worker: Worker) -> None:
    worker.start("a")
    worker.claim()
    receipt = worker.write(
        Write("a", worker.epoch, change=RunChange(Status.OPEN, error=b"SECRET", ended_at=5))
    )
    assert receipt.written is Written.REFUSED
    assert "ended_at" in receipt.reason
    assert "SECRET" not in receipt.reason
    assert b"SECRET".hex() not in receipt.reason


@pytest.mark.parametrize("committed", [True, False], ids=["committed", "not committed"])
@pytest.mark.parametrize("how", ["one", "three in a row"])
def test_a_lost_reply_to_commit_does_nothing_twice(
    worker: Worker, database: Database, *, committed: bool, how: str
) -> None:
    """The batch's number tells whether it was committed; every effect is there exactly once."""
    worker.start("a", "b")
    worker.claim()
    with lost_replies(3 if how != "one" else 1, committed=committed):
        receipts = worker.write_together(
            [
                Write("a", worker.epoch, entries=(entry("a", 1),)),
                Write("c", start=new_run("c")),
                Write("b", inbox=InboxRow("b", "k", "signal", 1)),
                Write("b", worker.epoch, entries=(entry("b", 1),), change=ended(), mail=1),
            ]
        )
    assert [receipt.written for receipt in receipts] == [Written.DONE] * 4
    assert worker.enter("a", 2) is Written.DONE
    assert [len(database.journal(i)) for i in ("a", "b")] == [2, 1]
    assert [run.id for run in database.ended(["a", "b", "c"])] == ["b"]


@pytest.mark.parametrize("committed", [True, False], ids=["committed", "not committed"])
def test_a_lost_reply_to_a_claim_claims_once(worker: Worker, *, committed: bool) -> None:
    worker.start("a", "b")
    with lost_replies(1, committed=committed):
        assert sorted(each.run.id for each in worker.claim()) == ["a", "b"]
    assert worker.claim() == []


def test_without_a_lease_a_lost_reply_leads_to_the_same_run(database: Database) -> None:
    """S17: a start is tried again; what it finds is its own."""
    web = Worker(database, None)
    web.start("a")
    with lost_replies(1, committed=True):
        assert web.put("a", "k") is Written.DONE
    run = database.run("a")
    assert run is not None
    assert run.mail == 1


@pytest.mark.parametrize("sqlite_url", ["database or disk is full", "disk I/O error"], indirect=False)
def test_a_full_or_broken_disk_fails_no_run(tmp_path: Path, sqlite_url: str) -> None:
    """The writer waits until there is room, says so in the log, and writes the very batch."""
    words = sqlite_url
    with log(f"sqlite:///{tmp_path / 'full.db'}") as database:
        worker = Worker(database, "ann")
        worker.start("a")
        worker.claim()
        errors = chain(repeat(sqlite3.OperationalError(words), 3), repeat(None))
        with failing(errors, "INSERT INTO amends_journal"):
            assert worker.enter("a", 1) is Written.DONE
        assert [row.seq for row in database.journal("a")] == [1]


def test_waiting_for_the_database_is_logged_once_a_period(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    error = OperationalError("", {}, psycopg.OperationalError("the connection is lost"))
    with lost_replies(4, committed=False, error=error):
        worker.start("a")
    assert len([record for record in caplog.records if "trying again" in record.message]) == 1


def test_a_writer_that_is_closed_gives_up_after_its_time(database_url: str) -> None:
    """What couldn't be written is left out; nobody is told that it was."""
    told: list[object] = []
    with log(database_url) as database:
        worker = Worker(database, "ann")
        with lost_replies(1_000, committed=False):
            worker.writer.submit(Write("a", start=new_run("a")), told.append)
            assert not worker.writer.close(0.2)
        assert database.run("a") is None
    assert told == []


def test_a_row_that_others_hold_is_waited_for_by_nobody_else(postgres_url: str) -> None:
    """A caller's open transaction holds up its own run and no other."""
    with log(postgres_url) as database:
        worker = Worker(database, "ann")
        worker.start("a", "b")
        worker.claim()
        with database.engine.begin() as connection:
            receipts = database.join(
                connection,
                [Write("a", inbox=InboxRow("a", "k", "signal", 1)), Write("c", start=new_run("c"))],
            )
            assert [receipt.written for receipt in receipts] == [Written.DONE] * 2
            blocked = worker.submit(Write("a", worker.epoch, change=ended(), mail=0))
            start = worker.submit(Write("c", start=new_run("c")))
            for seq in range(1, 4):
                assert worker.enter("b", seq) is Written.DONE
                assert worker.put("b", f"k{seq}") is Written.DONE
        assert blocked().written is Written.BEATEN
        assert start().written is Written.TAKEN


def test_a_callers_transaction_takes_its_writes_with_it(worker: Worker, database: Database) -> None:
    """S23: what joined a transaction is there when that commits, and gone when it doesn't."""
    worker.start("a")
    writes = [Write("b", start=new_run("b")), Write("a", inbox=InboxRow("a", "k", "signal", 1))]
    with database.engine.connect() as connection:
        database.join(connection, writes)
        connection.rollback()
    assert database.run("b") is None
    with database.engine.begin() as connection:
        assert {receipt.written for receipt in database.join(connection, writes)} == {Written.DONE}
    assert sorted(each.run.id for each in worker.claim()) == ["a", "b"]


@pytest.mark.parametrize("fate", [Fate.CUT_BEFORE, Fate.CUT_AFTER, Fate.SWALLOWED])
def test_a_network_that_fails_at_commit_does_nothing_twice(
    postgres_url: str, tmp_path: Path, fate: Fate
) -> None:
    """A proxy cuts at one COMMIT of three; a swallowed answer counts as lost once the lease would be."""
    dice = random.Random(7)  # noqa: S311 - the same dice each time
    armed = threading.Event()

    def each() -> Fate:
        return fate if armed.is_set() and dice.random() < 1 / 3 else Fate.PASSED

    lease_ms = 1_000 if fate is Fate.SWALLOWED else 600_000
    with (
        log(postgres_url) as direct,
        proxied(postgres_url, tmp_path, each) as url,
        log(url, lease_ms=lease_ms) as far,
    ):
        worker = Worker(far, "ann")
        worker.start("a")
        worker.claim()
        armed.set()
        epoch = worker.epoch
        last = 2 if fate is Fate.SWALLOWED else 5
        for seq in range(1, last + 1):
            assert worker.write(Write("a", epoch, entries=(entry("a", seq),))).written is Written.DONE
            assert worker.put("a", f"k{seq}") is Written.DONE
        armed.clear()
        assert [row.seq for row in direct.journal("a")] == list(range(1, last + 1))
        run = direct.run("a")
        assert run is not None
        assert run.mail == last


def test_killed_backends_lose_nothing(postgres_url: str) -> None:
    """Every connection of the log is ended again and again while it is written."""
    with log(postgres_url) as database:
        worker = Worker(database, "ann")
        worker.start("a")
        worker.claim()
        with psycopg.connect(postgres_url, autocommit=True) as killer:
            for seq in range(1, 8):
                later = worker.submit(Write("a", worker.epoch, entries=(entry("a", seq),)))
                killer.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE pid <> pg_backend_pid() AND application_name = 'amends'"
                )
                assert later().written is Written.DONE
        assert [row.seq for row in database.journal("a")] == list(range(1, 8))


def test_a_killed_listener_listens_again_without_a_traceback_in_the_log(
    postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A restart of the server isn't an error of the application's."""
    with caplog.at_level(logging.ERROR), log(postgres_url) as database:
        worker = Worker(database, None)
        with psycopg.connect(postgres_url, autocommit=True) as killer:
            for _ in range(3):
                assert worker.news.acquire(timeout=30)  # it listens, or listens again
                killer.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE pid <> pg_backend_pid() AND application_name = 'amends'"
                )
            assert worker.news.acquire(timeout=30)
    assert caplog.messages == []


def test_an_end_and_a_cancel_over_two_connections_exclude_each_other(postgres_url: str) -> None:
    """S16 under interleaving: whoever locks the run's row first is first."""
    with log(postgres_url) as database:
        worker = Worker(database, "ann")
        worker.start("a", "b")
        worker.claim()
        with database.engine.connect() as cancelling:
            database.join(cancelling, [Write("a", inbox=InboxRow("a", "cancel", "cancel", 1))])
            end = worker.submit(Write("a", worker.epoch, change=ended(), mail=0))
            cancelling.commit()
            assert end().written is Written.BEATEN
        worker.change("b", ended(), mail=0)
        with database.engine.begin() as cancelling:
            (receipt,) = database.join(cancelling, [Write("b", inbox=InboxRow("b", "cancel", "cancel", 1))])
            assert receipt.written is Written.ENDED


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("DO $$ BEGIN RAISE unique_violation; END $$", Fault.ROW),
        ("SELECT 'x'::int", Fault.ROW),
        ("DO $$ BEGIN RAISE disk_full; END $$", Fault.TRANSIENT),
        ("DO $$ BEGIN RAISE serialization_failure; END $$", Fault.TRANSIENT),
        ("DO $$ BEGIN RAISE deadlock_detected; END $$", Fault.TRANSIENT),
        ("DO $$ BEGIN RAISE lock_not_available; END $$", Fault.BLOCKED),
        ("DO $$ BEGIN RAISE read_only_sql_transaction; END $$", Fault.TRANSIENT),
        ("DO $$ BEGIN RAISE insufficient_privilege; END $$", Fault.TRANSIENT),
        ("SELECT * FROM not_there", Fault.TRANSIENT),
        ("SELECT pg_terminate_backend(pg_backend_pid())", Fault.TRANSIENT),
    ],
)
def test_errors_of_a_server_are_told_apart(postgres_url: str, statement: str, fault: Fault) -> None:
    with log(postgres_url) as database, database.engine.connect() as connection:
        with pytest.raises(Exception, match=r"\w") as caught:
            connection.execute(text(statement))
        assert fault_of(caught.value) is fault


def test_a_server_that_is_away_is_waited_for(postgres_url: str) -> None:
    away = postgres_url.replace("host=", "host=/nowhere")
    with pytest.raises(psycopg.OperationalError) as caught:
        psycopg.connect(away)
    assert fault_of(caught.value) is Fault.TRANSIENT


@contextmanager
def counted(name: str) -> Iterator[Callable[[], int]]:
    """Count an engine's events for a block."""
    seen: list[object] = []

    def count(*_args: object) -> None:
        seen.append(None)

    event.listen(Engine, name, count)
    try:
        yield lambda: len(seen)
    finally:
        event.remove(Engine, name, count)


@contextmanager
def lost_replies(times: int, *, committed: bool, error: Exception | None = None) -> Iterator[None]:
    """Lose the next replies to COMMIT, after or instead of the commit."""
    left = iter(range(times))

    def lose(connection: Connection) -> None:
        if not connection.dialect.name or next(left, None) is None:
            return
        driver = connection.connection.dbapi_connection
        assert driver is not None
        if committed:
            driver.commit()
        else:
            driver.rollback()
        raise error or OperationalError("COMMIT", {}, OSError("the reply is lost"))

    event.listen(Engine, "commit", lose)
    try:
        yield
    finally:
        event.remove(Engine, "commit", lose)


@contextmanager
def failing(errors: Iterator[Exception | None], beginning: str) -> Iterator[None]:
    """Let statements that begin so raise the driver's next error instead."""

    def fail(_connection: object, _cursor: object, statement: str, *_args: object) -> None:
        error = next(errors) if statement.startswith(beginning) else None
        if error is not None:
            raise error

    event.listen(Engine, "before_cursor_execute", fail)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", fail)
