"""The database's tables: made, upgraded, checked."""

from __future__ import annotations

from amends.cli.output import write
from amends.cli.reading import must_exist, quiet, shown
from amends.persistence.database import Database
from amends.persistence.errors import DatabaseNotReady
from amends.persistence.migrate import REVISIONS


def upgrade_tables(url: str) -> None:
    """Make the tables or bring them up to date, and say which. Raises the database's errors."""
    quiet()
    try:
        Database.open(url, migrate=False).close()
    except DatabaseNotReady:
        Database.open(url).close()
        write(f"upgraded to {REVISIONS[-1]}: {shown(url)}\n")
    else:
        write(f"up to date at {REVISIONS[-1]}: {shown(url)}\n")


def check_tables(url: str) -> None:
    """Say that the tables are up to date. Raises the database's errors where they aren't."""
    must_exist(url)
    quiet()
    Database.open(url, migrate=False).close()
    write(f"up to date at {REVISIONS[-1]}: {shown(url)}\n")
