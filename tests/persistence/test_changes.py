"""What watchers and lists are told from: changes found once each, attributes found by index."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, text

from amends.persistence.attribute_records import AttributeKind, AttributeRow, Searched, Shown
from amends.persistence.database import Database
from amends.persistence.records import Status, Write, Written
from tests.persistence.workers import Worker, log, new_run

GOLD = Searched("tier", AttributeKind.TEXT, "gold")


def tier(run_id: str, value: str | None, created_at: int = 0) -> Shown:
    """Give what a run shows that has a tier, or has none any more."""
    kind = None if value is None else AttributeKind.TEXT
    whole = None if value is None else f'{{"tier":"{value}"}}'
    return Shown(whole, None, (AttributeRow(run_id, "tier", kind, value or "", created_at),))


def ids_of(found: tuple[list[Any], str]) -> tuple[list[str], str]:
    return sorted(row.id for row in found[0]), found[1]


@contextmanager
def explained(database: Database) -> Iterator[list[str]]:
    """Collect the plans of the queries in the block, with whole scans forbidden where that can be said."""
    plans: list[str] = []
    told: list[tuple[str, Any]] = []

    def note(_connection: Connection, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        if statement.startswith("SELECT"):
            told.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield plans
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    with database.engine.connect() as connection:
        postgres = database.engine.name == "postgresql"
        if postgres:
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        for statement, parameters in told:
            how = "EXPLAIN" if postgres else "EXPLAIN QUERY PLAN"
            rows = connection.exec_driver_sql(f"{how} {statement}", parameters)
            plans.append("\n".join(str(row) for row in rows))


def test_a_change_is_found_once(database_url: str) -> None:
    """A start, a claim, a turn's change and what it shows; what nobody can see is no change."""
    with log(database_url) as database:
        worker = Worker(database, "w1")
        before = database.moment()
        worker.write(Write("a", start=new_run("a")))
        worker.write(Write("b", start=new_run("b")))
        ids, moment = ids_of(database.changed(before))
        assert ids == ["a", "b"]
        assert ids_of(database.changed(moment)) == ([], moment)
        assert [loaded.run.id for loaded in worker.claim()] == ["a", "b"]
        ids, moment = ids_of(database.changed(moment))
        assert ids == ["a", "b"]
        worker.write(Write("a", epoch=worker.epoch, shown=tier("a", "gold")))
        assert ids_of(database.changed(moment, ["b"]))[0] == []
        rows, moment = database.changed(moment)
        assert [(row.id, row.attributes, row.input) for row in rows] == [("a", '{"tier":"gold"}', b"")]
        worker.write(Write("b", epoch=worker.epoch, progressed=True))
        assert database.changed(moment)[0] == []


def test_a_transaction_that_commits_behind_later_ones_is_not_missed(postgres_url: str) -> None:
    """Numbers are given before they can be seen: the first of two open transactions commits last."""
    with log(postgres_url) as database:
        moment = database.moment()
        with database.engine.connect() as first, database.engine.connect() as second:
            database.join(first, [Write("first", start=new_run("first"))])
            database.join(second, [Write("second", start=new_run("second"))])
            second.commit()
            ids, moment = ids_of(database.changed(moment))
            assert ids == ["second"]
            assert ids_of(database.changed(moment))[0] == []
            first.commit()
            ids, moment = ids_of(database.changed(moment))
            assert ids == ["first"]
            assert ids_of(database.changed(moment))[0] == []


def test_a_transaction_that_is_rolled_back_changes_nothing(database_url: str) -> None:
    with log(database_url) as database:
        moment = database.moment()
        with database.engine.connect() as connection:
            database.join(connection, [Write("gone", start=new_run("gone"))])
            connection.rollback()
        Worker(database, None).write(Write("there", start=new_run("there")))
        assert ids_of(database.changed(moment))[0] == ["there"]


def test_of_changes_by_many_at_once_each_is_found_exactly_once(postgres_url: str) -> None:
    """Transactions that begin and commit in any order, while somebody looks again and again."""
    with log(postgres_url) as database:
        moment, found, done = database.moment(), list[str](), threading.Event()

        def write(seed: int) -> None:
            dice = random.Random(seed)  # noqa: S311 - a schedule
            with database.engine.connect() as one, database.engine.connect() as other:
                for number in range(40):
                    ids = [f"{seed}-{number}-{half}" for half in "ab"]
                    for connection, run_id in zip((one, other), ids, strict=True):
                        database.join(connection, [Write(run_id, start=new_run(run_id))])
                    for connection in dice.sample([one, other], 2):
                        connection.commit()

        def work(threads: list[threading.Thread]) -> None:
            for thread in threads:
                thread.join()
            done.set()

        writers = [threading.Thread(target=write, args=(seed,)) for seed in range(4)]
        for writer in writers:
            writer.start()
        threading.Thread(target=work, args=(writers,)).start()
        last = False
        while not last:
            last = done.is_set()
            rows, moment = database.changed(moment)
            found += [row.id for row in rows]
        assert len(found) == len(set(found)) == 4 * 40 * 2


def test_what_another_server_has_numbered_higher_is_not_found_for_ever(postgres_url: str) -> None:
    """A dump of an old server holds numbers that this one hasn't reached."""
    with log(postgres_url) as database:
        Worker(database, None).write(Write("old", start=new_run("old")))
        with database.engine.begin() as connection:
            connection.execute(text("UPDATE amends.runs SET changed = 1000000000000"))
        moment = database.moment()
        assert database.changed(moment)[0] == []
        Worker(database, None).write(Write("new", start=new_run("new")))
        assert ids_of(database.changed(moment))[0] == ["new"]


def test_numbers_do_not_go_back_when_the_last_runs_are_deleted(sqlite_url: str) -> None:
    with log(sqlite_url) as database:
        worker = Worker(database, None)
        for run_id in ("a", "b", "c"):
            worker.write(Write(run_id, start=new_run(run_id)))
        moment = database.moment()
        with database.engine.begin() as connection:
            connection.execute(text("DELETE FROM amends_runs"))
        worker.write(Write("d", start=new_run("d")))
        assert ids_of(database.changed(moment))[0] == ["d"]


def test_changes_and_attributes_are_found_without_a_scan(database_url: str) -> None:
    """What is asked after each piece of news, and a page of a list, cost what they find."""
    with log(database_url) as database:
        Worker(database, None).write(Write("a", start=new_run("a")))
        with explained(database) as plans:
            database.changed(database.moment())
            database.runs(attributes=[GOLD], status=Status.OPEN, saga="order", since=1, after="a", limit=5)
        assert "runs_changed" in plans[1]
        assert "attributes_search" in plans[2]
        assert "runs_pkey" in plans[2] or "autoindex_amends_runs" in plans[2]
        assert not any("Seq Scan" in plan or "SCAN amends_runs" in plan for plan in plans[1:])


def test_runs_are_found_by_what_they_have_now(database_url: str) -> None:
    with log(database_url) as database:
        worker = Worker(database, "w1")
        for number in range(4):
            run_id = f"run-{number}"
            new = new_run(run_id)
            shown = tier(run_id, "gold", new.created_at)
            worker.write(Write(run_id, start=new, epoch=worker.epoch, shown=shown))
        worker.write(Write("run-1", epoch=worker.epoch, shown=tier("run-1", "lead")))
        worker.write(Write("run-2", epoch=worker.epoch, shown=tier("run-2", None)))
        assert [row.id for row in database.runs(attributes=[GOLD])] == ["run-3", "run-0"]
        assert [row.id for row in database.runs(attributes=[GOLD], limit=1)] == ["run-3"]
        assert [row.id for row in database.runs(attributes=[GOLD], after="run-3")] == ["run-0"]
        another = Searched("tier", AttributeKind.NUMBER, "gold")
        assert database.runs(attributes=[another]) == []
        assert database.runs(attributes=[GOLD, another]) == []


def test_only_the_owner_says_what_a_run_shows(database_url: str) -> None:
    """S18, S23: under a lost lease nothing of a turn is written, what it shows included."""
    with log(database_url) as database:
        worker = Worker(database, "w1")
        worker.write(Write("a", start=new_run("a")))
        worker.claim()
        receipt = worker.write(Write("a", epoch=worker.epoch - 1, shown=tier("a", "gold")))
        assert receipt.written is Written.FENCED
        row = database.run("a")
        assert row is not None
        assert row.attributes is None
        assert database.runs(attributes=[GOLD]) == []


def test_a_start_that_is_not_won_shows_nothing(database_url: str) -> None:
    """S17, S23: all of a write, or nothing of it."""
    with log(database_url) as database:
        worker = Worker(database, "w1")
        worker.write(Write("a", start=new_run("a")))
        again = Write("a", start=new_run("a"), epoch=worker.epoch, shown=tier("a", "gold"))
        assert worker.write(again).written is Written.TAKEN
        assert database.runs(attributes=[GOLD]) == []


@pytest.mark.parametrize("what", ["nothing", "attributes"])
def test_a_write_that_only_shows_something_wakes_nobody_who_works(what: str, postgres_url: str) -> None:
    """Progress of one worker must not make all others look for runs."""
    with log(postgres_url) as database, log(postgres_url) as elsewhere:
        worker, other = Worker(database, "w1"), Worker(elsewhere, "w2")
        worker.write(Write("a", start=new_run("a"), epoch=worker.epoch))
        while other.news.acquire(timeout=0.3):
            pass
        if what == "attributes":
            worker.write(Write("a", epoch=worker.epoch, shown=tier("a", "gold")))
        assert not other.news.acquire(timeout=0.3)
        worker.write(Write("b", start=new_run("b")))
        assert other.news.acquire(timeout=10)
