"""The tables: made by revisions and described by metadata, the same; small; their rules in the database."""

from collections.abc import Iterable
from uuid import uuid4

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import IntegrityError

from amends.persistence import migrate
from amends.persistence.database import Database
from amends.persistence.migrate import REVISIONS, configuration
from amends.persistence.records import Cause, RunChange, Status, Write
from amends.persistence.tables import tables_in
from amends.persistence.url import normalised
from tests.persistence.workers import Worker, entry, log, new_run


@pytest.fixture
def by_revisions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make new tables the way an old database gets them."""
    monkeypatch.setattr(migrate, "make_new", migrate.run_revisions)


@pytest.mark.usefixtures("by_revisions")
def test_revisions_make_what_the_metadata_describes(database_url: str) -> None:
    with log(database_url) as database, database.engine.connect() as connection:
        tables = database._backend.tables  # noqa: SLF001 - what is compared

        def ours(_object: object, name: str | None, kind: str, *_rest: object) -> bool:
            return kind != "table" or name != tables.version

        def our_schema(name: str | None, kind: str, _parents: object) -> bool:
            return kind != "schema" or name == tables.schema

        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "include_object": ours,
                "include_name": our_schema,
                "compare_server_default": False,
            },
        )
        assert compare_metadata(context, tables.metadata) == []


@pytest.mark.usefixtures("by_revisions")
def test_revisions_make_the_same_constraints_and_indexes_as_the_metadata(database_url: str) -> None:
    """What alembic doesn't compare: checks, partial indexes, collations, word by word."""
    engine = create_engine(normalised(database_url))
    with log(database_url, schema="made"):
        pass
    with engine.begin() as connection:
        described = tables_in("described") if engine.name == "postgresql" else tables_in(prefix="described_")
        if engine.name == "postgresql":
            connection.execute(text("CREATE SCHEMA described"))
        described.metadata.create_all(connection)
        assert _definitions(connection, "made") == _definitions(connection, "described")
        assert _definitions(connection, "made") != []
    engine.dispose()


def test_this_code_knows_all_revisions(sqlite_url: str) -> None:
    with log(sqlite_url) as database, database.engine.connect() as connection:
        tables = database._backend.tables  # noqa: SLF001 - asked for by the configuration
        scripts = ScriptDirectory.from_config(configuration(tables, connection))
        assert tuple(script.revision for script in reversed(list(scripts.walk_revisions()))) == REVISIONS


@pytest.mark.parametrize(
    "change",
    [
        {"status": "finished"},
        {"cause": "boredom"},
        {"status": "completed"},
        {"ended_at": 5},
        {"status": "completed", "ended_at": 5, "owner": "ann", "due_at": None},
        {"status": "completed", "ended_at": 5},
        {"mail": -1},
        {"lost": -1},
    ],
)
def test_the_database_keeps_the_rules_of_a_run(
    worker: Worker, database: Database, change: dict[str, object]
) -> None:
    worker.start("a")
    runs = database._backend.tables.runs  # noqa: SLF001 - to do what no statement of ours does
    with pytest.raises(IntegrityError), database.engine.begin() as connection:
        connection.execute(runs.update().values(change))


def test_every_status_and_cause_can_be_stored(worker: Worker, database: Database) -> None:
    cases = [(status, cause) for status in Status for cause in (None, *Cause)]
    ends = {"completed", "compensated", "partially_compensated", "failed", "cancelled"}
    for number, (status, cause) in enumerate(cases):
        change = RunChange(status, cause, ended_at=5 if status.value in ends else None, release=True)
        worker.write(Write(f"r{number}", worker.epoch, start=new_run(f"r{number}"), change=change))
    stored = {run.id: (run.status, run.cause) for run in database.runs(limit=1_000)}
    assert stored == {f"r{number}": case for number, case in enumerate(cases)}


def test_a_sleeping_run_takes_less_than_a_kilobyte(database_url: str) -> None:
    """Its row, its journal of two entries, and all indexes."""
    count = 2_000
    with log(database_url) as database:
        worker = Worker(database, "ann")
        before = _size(database)
        asleep = RunChange(Status.OPEN, due_at=10**13, release=True)
        for _ in range(2):
            names = [str(uuid4()) for _ in range(count // 2)]
            data = b'{"order": {"id": 17, "lines": [{"sku": "A-1", "count": 2}]}}'
            worker.write_together(
                [
                    Write(
                        name,
                        worker.epoch,
                        start=new_run(name, at=database.now(), data=data),
                        entries=(entry(name, 1, data), entry(name, 2, None)),
                        change=asleep,
                    )
                    for name in names
                ]
            )
        assert (_size(database) - before) / count < 1_024


def _size(database: Database) -> int:
    with database.engine.connect() as connection:
        if database.engine.name == "postgresql":
            relations = text("SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r'")
            return int(connection.execute(relations).scalar_one())
        connection.exec_driver_sql("ROLLBACK")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        return int(pages) * int(connection.exec_driver_sql("PRAGMA page_size").scalar_one())


def _definitions(connection: Connection, name: str) -> list[str]:
    if connection.dialect.name == "sqlite":
        rows: Iterable[str] = connection.exec_driver_sql(
            "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"
        ).scalars()
        found = [
            " ".join(row.split()) for row in rows if f"{name}_" in row and "version" not in row.split("(")[0]
        ]
    else:
        rows = connection.execute(text(_SERVER_DEFINITIONS), {"schema": name}).scalars()
        found = [row for row in rows if ".version" not in row and "version_" not in row]
    return sorted(row.replace(name, "X") for row in found)


_SERVER_DEFINITIONS = """
    SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace = CAST(CAST(:schema AS text) AS regnamespace)
    UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = CAST(:schema AS text)
    UNION ALL SELECT attrelid::regclass || ' ' || attname || ' ' || format_type(atttypid, atttypmod) || ' '
        || attnotnull || ' ' || CAST(attidentity AS text) || ' '
        || coalesce(attcollation::regcollation::text, '')
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    WHERE relnamespace = CAST(CAST(:schema AS text) AS regnamespace) AND relkind = 'r' AND attnum > 0
"""
