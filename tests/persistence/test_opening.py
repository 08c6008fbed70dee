"""Opening a log: which URLs, what is refused and how that is said."""

import logging
import sqlite3
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import event
from sqlalchemy.engine import Engine

from amends.persistence import sqlite as sqlite_module
from amends.persistence.database import Database
from amends.persistence.errors import (
    AmendsError,
    DatabaseNewer,
    DatabaseNotReady,
    DatabaseReadOnly,
    DatabaseUnavailable,
    UnsupportedDatabase,
)
from amends.persistence.migrate import version_table
from amends.persistence.url import normalised, shown
from tests.persistence.workers import Worker, log


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("postgres://u@h/d", "postgresql+psycopg://u@h/d"),
        ("postgresql://u@h/d", "postgresql+psycopg://u@h/d"),
        ("postgresql+psycopg://u@h/d", "postgresql+psycopg://u@h/d"),
        ("postgresql+psycopg2://u@h/d", "postgresql+psycopg://u@h/d"),
        ("postgresql+asyncpg://u@h/d?ssl=require", "postgresql+psycopg://u@h/d?sslmode=require"),
        ("postgresql+asyncpg://u@h/d?ssl=true", "postgresql+psycopg://u@h/d?sslmode=require"),
        (
            "postgresql+asyncpg://u@h/d?timeout=3&statement_cache_size=0",
            "postgresql+psycopg://u@h/d?connect_timeout=3",
        ),
        ("sqlite:///a.db", "sqlite+pysqlite:///a.db"),
        ("sqlite+aiosqlite:////tmp/a.db", "sqlite+pysqlite:////tmp/a.db"),
    ],
)
def test_urls_are_understood_as_people_write_them(given: str, used: str) -> None:
    assert normalised(given).render_as_string(hide_password=False) == used


@pytest.mark.parametrize(
    "url",
    [
        "mysql://h/d",
        "oracle://h/d",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:a?mode=memory&uri=true",
        "no url",
        "",
        "postgresql://u:p@h:notaport/x",
        "http://[::1",
    ],
)
def test_what_cannot_be_durable_is_refused(url: str) -> None:
    with pytest.raises(UnsupportedDatabase, match=r"sqlite:///orders\.db"):
        Database.open(url)


@pytest.mark.parametrize("parameter", ["timeout=9", "mode=ro", "isolation_level=NONE", "uri=true&nolock=1"])
def test_a_sqlite_url_takes_no_parameter_that_would_be_ignored_or_harm(parameter: str) -> None:
    with pytest.raises(UnsupportedDatabase, match="takes no parameter"):
        Database.open(f"sqlite:///file:nothing.db?{parameter}")


def test_a_schema_has_a_plain_name(sqlite_url: str) -> None:
    with pytest.raises(UnsupportedDatabase, match="schema"):
        Database.open(sqlite_url, schema='x"; DROP TABLE y')


def test_passwords_are_never_shown() -> None:
    assert "secret" not in shown("postgresql://u:secret@h/d")
    with pytest.raises(DatabaseUnavailable) as caught:
        Database.open("postgresql://u:secret@127.0.0.1:1/d?connect_timeout=1")
    assert "secret" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable, match="no directory"):
        Database.open(f"sqlite:///{tmp_path}/gone/a.db")


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_text("Dear diary, " * 100)
    with pytest.raises(UnsupportedDatabase, match="no SQLite database"):
        Database.open(f"sqlite:///{tmp_path}/a.db")


@pytest.mark.parametrize("what", ["file", "directory"])
def test_a_read_only_file_is_refused(what: str) -> None:
    """Root may write everything, so another account tries; in a directory that it may enter."""
    script = (
        "import os, sys\n"
        "from amends.persistence.database import Database\n"
        "from amends.persistence.errors import DatabaseReadOnly\n"
        "Database.open(sys.argv[2]).close()\n"
        "os.geteuid() == 0 and os.setuid(65534)\n"
        "try: Database.open(sys.argv[1])\n"
        "except DatabaseReadOnly: sys.exit(0)\n"
        "sys.exit(1)\n"
    )
    with TemporaryDirectory() as name:
        directory = Path(name)
        urls = [f"sqlite:///{directory}/{file}.db" for file in ("a", "scratch")]
        with log(urls[0]):
            pass
        (directory / "a.db").chmod(0o444)
        directory.chmod(0o555 if what == "directory" else 0o755)
        result = subprocess.run(
            [sys.executable, "-c", script, *urls], capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr


def test_a_read_only_server_is_refused(postgres_url: str) -> None:
    with pytest.raises(DatabaseReadOnly, match="standby"):
        Database.open(f"{postgres_url}&options=-c%20default_transaction_read_only%3Don")


def test_tables_made_by_newer_code_are_refused(database_url: str) -> None:
    with log(database_url) as database, database.engine.begin() as connection:
        version = version_table(database._backend.tables)  # noqa: SLF001 - nobody else's business
        connection.execute(version.update().values(version_num="9999"))
    for migrate in (True, False):
        with pytest.raises(DatabaseNewer, match="9999"):
            Database.open(database_url, migrate=migrate)


def test_without_migrating_a_new_database_is_refused_with_what_to_do(database_url: str) -> None:
    with pytest.raises(DatabaseNotReady, match="amends db upgrade"):
        Database.open(database_url, migrate=False)
    with log(database_url):
        pass
    Database.open(database_url, migrate=False).close()


def test_a_server_user_without_rights_is_told_what_is_missing(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS guest")
        connection.execute("CREATE ROLE guest LOGIN")
        try:
            with pytest.raises(DatabaseUnavailable, match="amends db upgrade"):
                Database.open(postgres_url.replace("postgres@", "guest@"))
        finally:
            connection.execute("DROP ROLE guest")


def test_opening_a_log_that_is_up_to_date_asks_once_and_imports_no_alembic(database_url: str) -> None:
    with log(database_url):
        pass
    script = (
        "import sys\n"
        "from amends.persistence.database import Database\n"
        "Database.open(sys.argv[1]).close()\n"
        "sys.exit('alembic' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", script, database_url], check=False).returncode == 0
    statements: list[str] = []

    def see(_connection: object, _cursor: object, statement: str, *_args: object) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", see)
    try:
        Database.open(database_url).close()
    finally:
        event.remove(Engine, "before_cursor_execute", see)
    assert len([statement for statement in statements if "version_num" in statement]) == 1


def test_every_connection_to_a_file_syncs_fully(sqlite_url: str) -> None:
    with log(sqlite_url) as database:
        backend = database._backend  # noqa: SLF001 - the engines that aren't public count too
        for engine in (backend.engine, backend.reads, backend.writes):
            with engine.connect() as connection:
                assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
                assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        with backend.reads.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA query_only").scalar() == 1


def test_a_server_that_does_not_wait_for_the_disk_is_made_to(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        name = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(name))
    with log(postgres_url) as database:
        worker = Worker(database, "ann")
        writing = worker.writer._transactor._connected()  # noqa: SLF001 - its settings
        driver = writing.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        with worker.held_up():
            assert driver.execute("SHOW synchronous_commit").fetchone() == ("on",)
            driver.rollback()


def test_a_worker_is_warned_once_of_a_version_with_the_wal_race(
    sqlite_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_module, "_warned", set())
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.45.1")
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 45, 1))
    with caplog.at_level(logging.WARNING), log(sqlite_url) as database:
        Worker(database, None).start("a")
        assert caplog.messages == []
        for name in ("ann", "bob"):
            Worker(database, name).start(name)
    assert caplog.messages == [
        "SQLite 3.45.1 has a rare race that can damage its files; 3.51.3 and newer don't have it"
    ]


def test_a_relative_file_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with log("sqlite:///here.db") as database:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        Worker(database, "ann").start("a")
        assert database.run("a") is not None
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_errors_are_one_tree() -> None:
    for error in (
        UnsupportedDatabase,
        DatabaseNewer,
        DatabaseNotReady,
        DatabaseReadOnly,
        DatabaseUnavailable,
    ):
        assert issubclass(error, AmendsError)
