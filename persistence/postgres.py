"""What is PostgreSQL's own: a server with its own clock, many writers at once, and notifications.

Rows go to the server as cheaply as psycopg allows: insertions by binary COPY (1.8 µs of CPU a row, against 12
for `executemany` and 16 for arrays), all other statements for many rows by one JSON parameter.
"""

from __future__ import annotations

import hashlib
import json
import logging
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import sql
from sqlalchemy import (
    BigInteger,
    Boolean,
    Connection,
    Engine,
    Executable,
    LargeBinary,
    SmallInteger,
    Text,
    any_,
    bindparam,
    case,
    cast,
    column,
    create_engine,
    event,
    false,
    func,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON
from sqlalchemy.dialects.postgresql import insert as insert_or
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateSchema
from sqlalchemy.sql import ColumnElement, FromClause
from sqlalchemy.sql.schema import Table
from sqlalchemy.types import UserDefinedType

from amends.persistence.backend import Cell, Columns, ColumnTypes, Many, Watch, WorkerLock, column_types
from amends.persistence.errors import DatabaseReadOnly, DatabaseUnavailable, UnsupportedDatabase
from amends.persistence.faults import words_of
from amends.persistence.guests import Guests
from amends.persistence.once import once
from amends.persistence.postgres_guests import PostgresGuests
from amends.persistence.postgres_watch import SHOWN, ServerWatch
from amends.persistence.prepared import Prepared
from amends.persistence.process import has_vanished
from amends.persistence.records import WorkerRow
from amends.persistence.rows import RUN_COLUMNS
from amends.persistence.tables import Tables, tables_in
from amends.persistence.url import shown

_log: Final = logging.getLogger("amends.persistence")
_OLDEST: Final = 130_000
_READ_ONLY: Final = ("read-only", "25006", "recovery mode", "hot standby")
_CONNECT: Final = {
    "application_name": "amends",
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    # Of several hosts, the one that can be written.
    "target_session_attrs": "read-write",
}


class PostgresBackend:
    """A log in a schema of a PostgreSQL database."""

    def __init__(self, url: URL, schema: str, lease_ms: int) -> None:
        self.tables: Tables = tables_in(schema=schema)
        self._url = url
        self._lease_ms = lease_ms
        self._schema = schema
        self._channel = f"amends_{schema}"
        connect = {name: value for name, value in _CONNECT.items() if name not in url.query}
        self.engine: Engine = create_engine(
            url, hide_parameters=True, connect_args=connect, pool_pre_ping=True
        )
        self.reads: Engine = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self.writes: Engine = create_engine(
            url,
            hide_parameters=True,
            connect_args=connect,
            poolclass=NullPool,
            isolation_level="READ COMMITTED",
        )
        self.migrations: Engine = self.writes
        self.guests: Guests = PostgresGuests(url, connect)
        self.engines: tuple[Engine, ...] = (self.engine, self.writes, self.guests.engine)
        self._settings = _settings(self.writes, lease_ms, for_one_transaction=False)
        self._pooled = False
        self._behind_a_pooler(_settings(self.writes, lease_ms, for_one_transaction=True))
        once(self, self.tables, self._prepare_starts)

    def prepare(self) -> None:
        """Connect once, and see whether the server will do."""
        try:
            with self.writes.connect() as connection:
                found = connection.execute(
                    select(
                        cast(func.current_setting("server_version_num"), BigInteger),
                        func.current_setting("server_encoding"),
                        func.pg_backend_pid(),
                    )
                ).one()
                self._pooled = _driver(connection).info.backend_pid != found[2]
                read_only = self._is_read_only(connection)
        except DBAPIError as error:
            raise self._opening(error) from error
        if found[0] < _OLDEST:
            raise UnsupportedDatabase("This PostgreSQL server is too old: amends needs 13 or newer.")
        if found[1] != "UTF8":
            raise UnsupportedDatabase(
                f"The database's encoding is {found[1]}, which can't hold all text. Make one with UTF8."
            )
        if read_only:
            raise self._standby()

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Read in one REPEATABLE READ transaction."""
        with self.engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
            yield connection

    def lock_migration(self, connection: Connection) -> None:
        """Take a lock that the server gives back at the transaction's end; make the schema."""
        patient = [func.set_config(name, "0", true()) for name in ("statement_timeout", "lock_timeout")]
        connection.execute(select(*patient))
        name = hashlib.blake2b(self._channel.encode(), digest_size=8).digest()
        connection.execute(select(func.pg_advisory_xact_lock(int.from_bytes(name, signed=True))))
        connection.execute(CreateSchema(self._schema, if_not_exists=True))

    def server_time(self) -> ColumnElement[int] | None:
        """Return the clock of the server: not the transaction's time, which stands still."""
        return cast(func.floor(func.extract("epoch", func.clock_timestamp()) * 1000), BigInteger)

    def change_number(self) -> ColumnElement[int]:
        """Return the transaction's number, by which a snapshot tells whether it was committed before."""
        return cast(cast(func.pg_current_xact_id(), Text), BigInteger)

    def moment(self) -> ColumnElement[str]:
        """Return the statement's snapshot: commits come in another order than their numbers."""
        return cast(func.pg_current_snapshot(), Text)

    def changed_since(self, name: str) -> ColumnElement[bool]:
        """Ask the old snapshot; the bounds are for the index, and for what another server has numbered."""
        changed = self.tables.runs.c.changed
        before = cast(bindparam(name, type_=Text), _Snapshot)
        first = cast(cast(func.pg_snapshot_xmin(before), Text), BigInteger)
        behind = cast(cast(func.pg_snapshot_xmax(func.pg_current_snapshot()), Text), BigInteger)
        seen = func.pg_visible_in_snapshot(cast(cast(changed, Text), _TransactionNumber), before)
        return (changed >= first) & (changed < behind) & ~seen

    def listed(self, name: str, columns: ColumnTypes) -> FromClause:
        """Return rows from a JSON parameter by `json_to_recordset`."""
        return _recordset(name, f"given_{name}", columns)

    def among(self, column: ColumnElement[str], name: str) -> ColumnElement[bool]:
        """Compare with an array, for which the planner uses the index whatever it knows of the table."""
        ids = select(self.listed(name, {"id": Text}).c.id).scalar_subquery()
        return column == any_(func.array(ids, type_=ARRAY(Text)))

    def many(self, columns: ColumnTypes, build: Callable[[Columns], Executable]) -> Many:
        """Prepare for rows in one JSON parameter."""
        return _FromJson(self.writes, columns, build)

    def insert(self, table: Table, columns: Sequence[str]) -> Many:
        """Prepare for COPY."""
        return _Copy(table, columns)

    def insert_missing(self, table: Table, values: Mapping[str, Any]) -> Executable:
        """Insert or do nothing."""
        return insert_or(table).values(dict(values)).on_conflict_do_nothing()

    def insert_runs(self, connection: Connection, rows: Sequence[tuple[Cell, ...]]) -> set[str]:
        """Insert or ignore; in the order of the ids, so that two processes never wait for each other."""
        ordered = sorted(rows, key=lambda row: str(row[0]))
        return {row[0] for row in self._insert_runs(connection, {"rows": _json_rows(RUN_COLUMNS, ordered)})}

    def announce(self, connection: Connection, sender: str, *, shown: bool = False) -> None:
        """Notify: the server sends it when the transaction commits."""
        told = f"{SHOWN}{sender}" if shown else sender
        self._notify(connection, {"channel": self._channel, "sender": told})

    def watch(self, sender: str, on_news: Callable[[], None], on_shown: Callable[[], None]) -> Watch:
        """Listen, over a connection and in a thread of its own."""
        if self._pooled:
            _log.info("a pooler stands before the server: news of other processes comes by polling alone")
        return ServerWatch(
            None if self._pooled else self.writes,
            self._channel,
            sender,
            on_news,
            on_shown,
            settings=None if self._pooled else self._settings,
            patience_s=self._lease_ms / 1000,
        )

    def lock_worker(self, worker: str) -> WorkerLock:  # noqa: ARG002 - the other store needs it
        """Return a sign of life that says nothing: the lease decides."""
        return _NoLock()

    def vanished(self, worker: WorkerRow) -> bool:
        """Tell whether the worker's process ran on this machine and is gone."""
        return has_vanished(worker.process)

    def bury(self, worker: str) -> None:
        """Do nothing: a dead worker leaves only its row."""

    def _prepare_starts(self) -> None:
        self._insert_runs = Prepared(self.writes, _insert_runs(self.tables.runs, self.change_number()))
        self._notify = Prepared(
            self.writes,
            select(func.pg_notify(bindparam("channel", type_=Text), bindparam("sender", type_=Text))),
        )

    def _behind_a_pooler(self, settings: bytes) -> None:
        """Rely on nothing that outlives a transaction where a pooler may give each another server session."""

        @event.listens_for(self.engine, "connect")
        @event.listens_for(self.writes, "connect")
        @event.listens_for(self.guests.engine, "connect")
        def _prepare_nothing(connection: object, _record: object) -> None:
            if self._pooled and isinstance(connection, psycopg.Connection):
                connection.prepare_threshold = None

        @event.listens_for(self.writes, "begin")
        def _limit(connection: Connection) -> None:
            if self._pooled:
                _driver(connection).execute(settings)

    def _is_read_only(self, connection: Connection) -> bool:
        """Tell whether the server is a standby, or the session may only read."""
        read_only = func.current_setting("transaction_read_only") == "on"
        return bool(connection.execute(select(func.pg_is_in_recovery() | read_only)).scalar())

    def _opening(self, error: DBAPIError) -> Exception:
        words = words_of(error)
        if any(sign in words for sign in _READ_ONLY):
            return self._standby()
        return DatabaseUnavailable(f"The database {shown(self._url)} can't be reached: {words}")

    def _standby(self) -> DatabaseReadOnly:
        return DatabaseReadOnly(
            f"The database {shown(self._url)} can only be read: it is a standby, or set to read-only"
            " transactions. Give the primary's address."
        )


class _Snapshot(UserDefinedType[str]):
    """Which transactions a statement sees."""

    cache_ok = True

    def get_col_spec(self, **_options: object) -> str:
        """Name the type."""
        return "pg_snapshot"


class _TransactionNumber(UserDefinedType[str]):
    """A transaction's number."""

    cache_ok = True

    def get_col_spec(self, **_options: object) -> str:
        """Name the type."""
        return "xid8"


class _NoLock:
    def release(self) -> None:
        """Do nothing."""


class _Copy:
    """Insert rows by COPY in binary form."""

    def __init__(self, table: Table, columns: Sequence[str]) -> None:
        statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
            sql.Identifier(table.schema or "public", table.name),
            sql.SQL(", ").join(map(sql.Identifier, columns)),
        )
        # Rendered and looked up once: either takes longer than to send a row.
        self._statement = statement.as_bytes()
        self._table = table
        self._columns = tuple(columns)
        self._types = [
            psycopg.adapters.types.get_oid(_SERVER_TYPES[kind])
            for kind in column_types(table, columns).values()
        ]

    def __call__(self, connection: Connection, rows: Sequence[tuple[Cell, ...]]) -> None:
        if not isinstance(connection.connection.driver_connection, psycopg.Connection):
            cells = [dict(zip(self._columns, row, strict=True)) for row in rows]
            connection.execute(self._table.insert(), cells)
            return
        with _driver(connection).cursor() as cursor, cursor.copy(self._statement) as copy:
            copy.set_types(self._types)
            for row in rows:
                copy.write_row(row)


class _FromJson:
    """Execute a statement for rows that are given as one JSON parameter; bytes go as base64."""

    def __init__(self, engine: Engine, columns: ColumnTypes, build: Callable[[Columns], Executable]) -> None:
        self._columns = tuple(columns)
        self._statement = Prepared(engine, build(_decoded(_recordset("rows", "given", columns), columns)))

    def __call__(self, connection: Connection, rows: Sequence[tuple[Cell, ...]]) -> None:
        self._statement(connection, {"rows": _json_rows(self._columns, rows)})


def _driver(connection: Connection) -> psycopg.Connection[tuple[object, ...]]:
    driver = connection.connection.driver_connection
    if not isinstance(driver, psycopg.Connection):
        raise TypeError("the connection's driver isn't psycopg")
    return driver


def _settings(engine: Engine, lease_ms: int, *, for_one_transaction: bool) -> bytes:
    """Return the statement that makes a session wait less than its lease, and lose no commit."""
    local = true() if for_one_transaction else false()
    limits = {
        "lock_timeout": "200ms",
        "statement_timeout": f"{lease_ms}ms",
        "idle_in_transaction_session_timeout": f"{lease_ms // 2}ms",
    }
    # All that a writer does is look rows up by their keys: no statistics of a new table must tell otherwise.
    plans = dict.fromkeys(("enable_seqscan", "enable_hashjoin", "enable_mergejoin"), "off")
    # A database or role that is set not to wait for the disk would lose what was acknowledged.
    current = func.current_setting("synchronous_commit")
    durable = case((current == "off", "on"), else_=current)
    chosen = [func.set_config(name, value, local) for name, value in (limits | plans).items()]
    statement = select(*chosen, func.set_config("synchronous_commit", durable, local))
    compiled = statement.compile(engine, compile_kwargs={"literal_binds": True})
    return str(compiled).encode()


def _insert_runs(runs: Table, change_number: ColumnElement[int]) -> Executable:
    columns = column_types(runs, RUN_COLUMNS)
    given = _decoded(_recordset("rows", "given", columns), columns)
    chosen = select(*(given[name] for name in RUN_COLUMNS), change_number)
    return (
        insert_or(runs)
        .from_select((*RUN_COLUMNS, "changed"), chosen)
        .on_conflict_do_nothing(index_elements=[runs.c.id])
        .returning(runs.c.id)
    )


def _recordset(parameter: str, alias: str, columns: ColumnTypes) -> FromClause:
    kinds = {name: Text if issubclass(kind, LargeBinary) else kind for name, kind in columns.items()}
    rows = func.json_to_recordset(cast(bindparam(parameter, type_=Text), JSON))
    typed = rows.table_valued(*(column(name, kind) for name, kind in kinds.items()))
    return typed.render_derived(name=alias, with_types=True)


def _decoded(rows: FromClause, columns: ColumnTypes) -> Columns:
    return {
        name: func.decode(rows.c[name], "base64", type_=LargeBinary)
        if issubclass(kind, LargeBinary)
        else rows.c[name]
        for name, kind in columns.items()
    }


def _json_rows(names: Sequence[str], rows: Sequence[tuple[Cell, ...]]) -> str:
    return json.dumps([dict(zip(names, row, strict=True)) for row in rows], default=_base64)


def _base64(value: object) -> str:
    if not isinstance(value, bytes):
        raise TypeError(f"{type(value).__name__} can't be stored")
    return b64encode(value).decode("ascii")


_SERVER_TYPES: Final = {
    BigInteger: "int8",
    SmallInteger: "int2",
    LargeBinary: "bytea",
    Boolean: "bool",
    Text: "text",
}
