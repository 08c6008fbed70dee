"""Who is told of what was committed, and when."""

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import Connection

from amends.persistence.sqlite_watch import FileWatch
from tests.persistence.workers import PATIENCE_S, Worker, ended, log


def test_a_commit_of_another_process_is_news_and_our_own_is_not(database_url: str) -> None:
    with log(database_url) as ours, log(database_url) as theirs:
        ann, web = Worker(ours, "ann"), Worker(theirs, None)
        quiet(ann)
        ann.start("a")
        ann.claim()
        assert not ann.news.acquire(timeout=0.3)
        web.put("a", "k")
        assert ann.news.acquire(timeout=PATIENCE_S)


def test_an_end_is_news_to_who_waits_for_it(database_url: str) -> None:
    with log(database_url) as ours, log(database_url) as theirs:
        ann, web = Worker(ours, "ann"), Worker(theirs, None)
        ann.start("a")
        ann.claim()
        quiet(web)
        ann.change("a", ended())
        assert web.news.acquire(timeout=PATIENCE_S)
        assert [run.id for run in theirs.ended(["a"])] == ["a"]


def test_steps_of_others_are_no_news_on_a_server(postgres_url: str) -> None:
    """A notification costs something; only what others wait for is worth one."""
    with log(postgres_url) as ours, log(postgres_url) as theirs:
        ann, ben = Worker(ours, "ann"), Worker(theirs, "ben")
        ann.start("a")
        ann.claim()
        quiet(ben)
        ann.enter("a", 1)
        assert not ben.news.acquire(timeout=0.3)


def test_logs_in_two_schemas_are_strangers(database_url: str) -> None:
    with log(database_url, schema="red") as red, log(database_url, schema="blue") as blue:
        ann, ben = Worker(red, "ann"), Worker(blue, "ben")
        ann.start("a")
        assert ben.claim() == []
        assert blue.run("a") is None
        assert [row.id for row in red.workers()] == ["ann"]


def test_a_file_is_watched_more_closely_after_news(tmp_path: Path) -> None:
    """Every 5 ms for a second after foreign news, else every 50 ms."""
    now = 0.0
    told: list[float] = []
    with log(f"sqlite:///{tmp_path / 'a.db'}") as ours, log(f"sqlite:///{tmp_path / 'a.db'}") as theirs:
        web = Worker(theirs, None)
        watch = FileWatch(lambda: told.append(now), driver_of, lambda: now)
        with ours.engine.connect() as connection:
            watch.use(connection)
            assert watch.poll() == 0.05
            web.start("a")
            now = 0.04
            watch.poll()
            assert told == []
            now = 0.05
            assert watch.poll() == pytest.approx(0.005)
            assert told == [0.05]
            now = 1.06
            assert watch.poll() == pytest.approx(0.05)
            assert told == [0.05]


def quiet(worker: Worker) -> None:
    """Let the news of what happened so far come in."""
    while worker.news.acquire(timeout=0.3):
        pass


def driver_of(connection: Connection) -> sqlite3.Connection:
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver
