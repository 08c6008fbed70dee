"""Run revisions over the connection that `amends.persistence.migrate` gives; loaded by alembic."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from amends.persistence.tables import Tables


def run() -> None:
    """Run the revisions inside the caller's transaction."""
    connection = context.config.attributes["connection"]
    tables = context.config.attributes["tables"]
    if not isinstance(connection, Connection) or not isinstance(tables, Tables):
        raise TypeError("migrations are run by amends.persistence.migrate")
    context.configure(
        connection=connection,
        target_metadata=tables.metadata,
        version_table=tables.version,
        version_table_schema=tables.schema,
        # The caller's transaction holds the lock; SQLite's DDL is as transactional as PostgreSQL's here.
        transactional_ddl=True,
        transaction_per_migration=False,
    )
    context.run_migrations()


run()
