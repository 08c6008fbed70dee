"""Reading the log: one look at the database, which changes nothing and makes nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from amends.cli.errors import CommandError, without_password
from amends.persistence.database import Database
from amends.persistence.url import normalised
from amends.persistence.url import shown as hidden


@contextmanager
def reading(url: str) -> Iterator[Database]:
    """Open the log to read it, until the block ends; tables are neither made nor upgraded.

    Raises `CommandError` when the file isn't there, and what `Database.open` raises.
    """
    must_exist(url)
    quiet()
    database = Database.open(url, migrate=False)
    try:
        yield database
    finally:
        database.close()


def must_exist(url: str) -> None:
    """Raise `CommandError` when the URL names a SQLite file that isn't there: asking must not make it."""
    target = normalised(url)
    if target.get_backend_name() != "sqlite" or target.query.get("uri"):
        return
    path = Path(target.database or "").absolute()
    if not path.exists():
        raise CommandError(
            f"there is no database {path}; give another one with --database, or make it: `amends db upgrade`"
        )


def quiet() -> None:
    """Keep the log's own warnings to workers: a command that looks or asks says what it has to say itself."""
    logging.getLogger("amends").setLevel(logging.ERROR)


def shown(url: str) -> str:
    """Give a database's URL as people write it, without its password."""
    target = normalised(url)
    return without_password(hidden(target.set(drivername=target.get_backend_name())))
