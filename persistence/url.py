"""Database URLs as people write them, turned into those that the drivers in use understand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from amends.persistence.errors import UnsupportedDatabase

_POSTGRES: Final = frozenset(
    {
        "postgres",
        "postgresql",
        "postgres+psycopg",
        "postgresql+psycopg",
        "postgresql+psycopg_async",
        "postgresql+psycopg2",
        "postgresql+asyncpg",
    }
)
_SQLITE: Final = frozenset({"sqlite", "sqlite+pysqlite", "sqlite+aiosqlite"})
_FILE_URI: Final = frozenset({"uri", "mode", "cache", "psow", "vfs"})
_NOT_LIBPQ: Final = frozenset(
    {
        "async_fallback",
        "command_timeout",
        "prepared_statement_cache_size",
        "prepared_statement_name_func",
        "statement_cache_size",
        "max_cached_statement_lifetime",
        "max_cacheable_statement_size",
    }
)
_SSL: Final = {
    "true": "require",
    "1": "require",
    "on": "require",
    "false": "disable",
    "0": "disable",
    "off": "disable",
}
_CHOICE: Final = "Use a file (sqlite:///orders.db) or a PostgreSQL server (postgresql://user@host/name)."


def normalised(url: str | URL) -> URL:
    """Return `url` for the driver that amends uses: psycopg 3 or the standard library's sqlite3.

    Raises:
        UnsupportedDatabase: another kind of database, a SQLite database in memory, a parameter that SQLite
            isn't given here, or no URL at all.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise UnsupportedDatabase(f"This is not a database URL. {_CHOICE}") from error
    if parsed.drivername in _POSTGRES:
        return parsed.set(drivername="postgresql+psycopg", query=_libpq(parsed.query))
    if parsed.drivername in _SQLITE:
        return _file(parsed)
    raise UnsupportedDatabase(f"amends can't keep its log in {parsed.drivername!r}. {_CHOICE}")


def shown(url: str | URL) -> str:
    """Return `url` for a log or a message: without its password."""
    parsed = make_url(url)
    secrets = {name: "***" for name in parsed.query if "password" in name.lower()}
    return parsed.update_query_dict(secrets).render_as_string(hide_password=True)


def _libpq(query: Mapping[str, tuple[str, ...] | str]) -> dict[str, tuple[str, ...] | str]:
    """Leave out what asyncpg alone understands, and say `sslmode` for its `ssl`."""
    kept = {
        name: value
        for name, value in query.items()
        if name not in _NOT_LIBPQ and name not in {"ssl", "timeout"}
    }
    ssl = query.get("ssl")
    if isinstance(ssl, str):
        kept.setdefault("sslmode", _SSL.get(ssl.lower(), ssl))
    timeout = query.get("timeout")
    if isinstance(timeout, str):
        kept.setdefault("connect_timeout", timeout)
    return kept


def _file(url: URL) -> URL:
    name = url.database or ""
    if name in {"", ":memory:"} or ":memory:" in name or url.query.get("mode") == "memory":
        raise UnsupportedDatabase(
            "A SQLite database in memory is gone with its process, so nothing in it is durable. "
            "Give a file: sqlite:///orders.db"
        )
    known = _FILE_URI if url.query.get("uri") else ()
    if unknown := sorted(url.query.keys() - known):
        raise UnsupportedDatabase(
            f"amends sets up SQLite itself: the URL takes no parameter {unknown[0]!r}. Leave it out."
        )
    return url.set(drivername="sqlite+pysqlite")
