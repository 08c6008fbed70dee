"""Which backend a URL asks for."""

from __future__ import annotations

import re
from typing import Final

from amends.persistence.backend import Backend
from amends.persistence.errors import UnsupportedDatabase
from amends.persistence.url import normalised

_SCHEMA: Final = re.compile(r"[a-z_][a-z0-9_]{0,39}")


def backend_for(url: str, schema: str, lease_ms: int) -> Backend:
    """Return the backend for `url`; nothing is connected yet.

    Raises:
        UnsupportedDatabase: another kind of database, a missing driver, or a name that can't be a schema's.
    """
    if not _SCHEMA.fullmatch(schema):
        raise UnsupportedDatabase(
            f"{schema!r} can't name a schema: use up to 40 lower-case letters, digits and underscores."
        )
    target = normalised(url)
    if target.get_backend_name() == "sqlite":
        from amends.persistence.sqlite import SqliteBackend  # noqa: PLC0415 - the other's driver may be missing

        return SqliteBackend(target, schema, lease_ms)
    try:
        from amends.persistence.postgres import PostgresBackend  # noqa: PLC0415 - as above
    except ImportError as error:
        raise UnsupportedDatabase(
            "PostgreSQL needs the driver psycopg: pip install 'amends[postgres]'"
        ) from error
    return PostgresBackend(target, schema, lease_ms)
