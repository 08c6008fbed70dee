"""Make and upgrade the tables; alembic is imported only when there is something to do.

The version stands in a table of its own, in the log's own schema or under its prefix, so that it lives beside
an application's migrations. Revisions expand first and contract later: a worker of the version before goes on
working.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Column, Connection, MetaData, PrimaryKeyConstraint, String, Table, select
from sqlalchemy.exc import DBAPIError

from amends.persistence.backend import Backend
from amends.persistence.errors import DatabaseNewer, DatabaseNotReady, DatabaseUnavailable
from amends.persistence.faults import is_missing_table, words_of
from amends.persistence.tables import Tables

if TYPE_CHECKING:
    from alembic.config import Config

REVISIONS: Final = ("0001",)
"""All revisions that this code knows, the newest last."""


def upgrade(backend: Backend) -> None:
    """Bring the tables up to date; one query if they are. Any number of processes may do so at once.

    Raises:
        DatabaseNewer: the tables were made by newer code.
        DatabaseUnavailable: the database doesn't let tables be made.
    """
    if _is_current(backend):
        return
    try:
        with backend.migrations.connect() as connection, connection.begin():
            backend.lock_migration(connection)
            found = _version(connection, backend.tables)
            if found is None:
                make_new(connection, backend.tables)
            elif found != REVISIONS[-1]:
                run_revisions(connection, backend.tables)
    except DBAPIError as error:
        raise DatabaseUnavailable(
            f"The tables couldn't be made ({words_of(error)}). The user must be allowed to make them:"
            " run `amends db upgrade` once as one who is."
        ) from error


def check(backend: Backend) -> None:
    """Raise unless the tables are up to date.

    Raises:
        DatabaseNewer: they were made by newer code.
        DatabaseNotReady: they are missing or older.
    """
    if not _is_current(backend):
        raise DatabaseNotReady(
            "The database's tables are missing or older than this version of amends. Run `amends db upgrade`"
            " with the same --database, or open it with migrate=True."
        )


def version_table(tables: Tables) -> Table:
    """Return the table that alembic keeps the version in."""
    key = PrimaryKeyConstraint("version_num", name=f"{tables.version}_pkc")
    column = Column("version_num", String(32), nullable=False)
    return Table(tables.version, MetaData(schema=tables.schema), column, key)


def configuration(tables: Tables, connection: Connection) -> Config:
    """Return alembic's configuration for `tables` over `connection`; there is no file."""
    from alembic.config import Config  # noqa: PLC0415 - imported only where something is to be migrated

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes.update(connection=connection, tables=tables)
    return config


def _is_current(backend: Backend) -> bool:
    try:
        with backend.reads.connect() as connection:
            found = connection.execute(select(version_table(backend.tables).c.version_num)).scalar()
    except DBAPIError as error:
        if is_missing_table(error):
            return False
        raise DatabaseUnavailable(f"The database can't be read: {words_of(error)}") from error
    if found is not None and found not in REVISIONS:
        raise DatabaseNewer(
            f"The database was made by a newer version of amends (its tables are at {found}, this code knows"
            f" {REVISIONS[-1]}). Upgrade amends in this process."
        )
    return found == REVISIONS[-1]


def _version(connection: Connection, tables: Tables) -> str | None:
    """Return the tables' version, or None where they are missing."""
    table = version_table(tables)
    if not connection.dialect.has_table(connection, table.name, table.schema):
        return None
    return connection.execute(select(table.c.version_num)).scalar()


def make_new(connection: Connection, tables: Tables) -> None:
    """Make all tables as they are described: what the revisions make, in a tenth of their time."""
    tables.metadata.create_all(connection)
    version = version_table(tables)
    version.create(connection)
    connection.execute(version.insert().values(version_num=REVISIONS[-1]))


def run_revisions(connection: Connection, tables: Tables) -> None:
    """Run the revisions that are missing."""
    from alembic import command  # noqa: PLC0415 - as above

    command.upgrade(configuration(tables, connection), "head")
