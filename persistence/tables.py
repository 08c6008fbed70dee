"""The tables, as SQLAlchemy Core; the same on both databases but for where they live.

On PostgreSQL they stand in a schema of their own (`amends.runs`), on SQLite they carry its name as a prefix
(`amends_runs`). Times are integer milliseconds of database time. Journal and inbox rows are found by run;
sleeping runs cost one entry in the index of due runs and nothing else.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    literal_column,
    text,
)
from sqlalchemy.schema import SchemaItem
from sqlalchemy.types import TypeEngine

from amends.persistence.approval_records import ApprovalStatus
from amends.persistence.attribute_records import AttributeKind
from amends.persistence.records import Cause, Status

ENDED: Final = (
    Status.COMPLETED,
    Status.COMPENSATED,
    Status.PARTIALLY_COMPENSATED,
    Status.FAILED,
    Status.CANCELLED,
)
"""The statuses that end a run."""

CLAIMABLE: Final = (Status.OPEN, Status.COMPENSATING)
"""The statuses in which a worker has something to do for a run."""


@dataclass(frozen=True, slots=True)
class Tables:
    """All tables of one log, and the name of the table that holds their version."""

    metadata: MetaData
    schema: str | None
    version: str
    runs: Table
    attributes: Table
    journal: Table
    inbox: Table
    approvals: Table
    votes: Table
    workers: Table
    schedules: Table
    transactions: Table
    audit: Table


@functools.cache
def tables_in(schema: str | None = None, prefix: str = "") -> Tables:
    """Return the tables of the log in `schema`, their names beginning with `prefix`."""
    maker = _Maker(MetaData(schema=schema), prefix)
    return Tables(
        metadata=maker.metadata,
        schema=schema,
        version=f"{prefix}version",
        runs=_runs(maker),
        attributes=_attributes(maker),
        journal=_journal(maker),
        inbox=_inbox(maker),
        approvals=_approvals(maker),
        votes=_votes(maker),
        workers=_workers(maker),
        schedules=_schedules(maker),
        transactions=_transactions(maker),
        audit=_audit(maker),
    )


@dataclass(frozen=True, slots=True)
class _Maker:
    """Name tables, constraints and indexes in one way."""

    metadata: MetaData
    prefix: str

    def table(self, name: str, *items: SchemaItem) -> Table:
        return Table(f"{self.prefix}{name}", self.metadata, *items)

    def primary(self, table: str, *columns: str) -> PrimaryKeyConstraint:
        return PrimaryKeyConstraint(*columns, name=f"{self.prefix}{table}_pkey")

    def unique(self, table: str, *columns: str) -> UniqueConstraint:
        return UniqueConstraint(*columns, name=f"{self.prefix}{table}_{columns[-1]}_key")

    def check(self, table: str, what: str, condition: str) -> CheckConstraint:
        return CheckConstraint(text(condition), name=f"{self.prefix}{table}_{what}")

    def index(self, table: Table, what: str, *columns: str, where: str = "", on_sqlite: str = "") -> Index:
        chosen = [table.c[name] for name in columns]
        return Index(
            f"{table.name}_{what}",
            *chosen,
            postgresql_where=text(where) if where else None,
            sqlite_where=text(on_sqlite or where) if where else None,
        )


def _key_type() -> TypeEngine[str]:
    """Compare keys byte by byte: fast, and the index is right after an upgrade of the system's locales."""
    return Text().with_variant(Text(collation="C"), "postgresql")


def _key(name: str) -> Column[str]:
    return Column(name, _key_type(), nullable=False)


def _words(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


def _words_or_null(name: str) -> Column[str]:
    return Column(name, Text)


def _number(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


def _number_or_null(name: str) -> Column[int]:
    return Column(name, BigInteger)


def _payload(name: str) -> Column[bytes]:
    return Column(name, LargeBinary)


def _serial(name: str) -> Column[int]:
    return Column(name, BigInteger().with_variant(Integer, "sqlite"), Identity(always=True), nullable=False)


def literals(column: str, values: Iterable[StrEnum]) -> ColumnElement[bool]:
    """Say that `column` is one of `values` in literal SQL, so that partial indexes apply."""
    allowed = [literal_column(f"'{value.value}'", Text) for value in values]
    return literal_column(column, Text).in_(allowed)


def _one_of(column: str, values: Iterable[StrEnum]) -> str:
    return str(literals(column, values).compile())


def _runs(maker: _Maker) -> Table:
    table = maker.table(
        "runs",
        _key("id"),
        _words("saga"),
        _words("version"),
        _words("queue"),
        _words("status"),
        _words_or_null("cause"),
        Column("input", LargeBinary, nullable=False),
        _payload("result"),
        _payload("error"),
        Column("owner", _key_type()),
        _number_or_null("due_at"),
        _number_or_null("deadline_at"),
        _number("created_at"),
        _number_or_null("ended_at"),
        _number("mail"),
        _number("lost"),
        _words_or_null("needs"),
        Column("parent", _key_type()),
        _number_or_null("parent_ref"),
        Column("root", _key_type()),
        _words_or_null("no_pivot"),
        _number_or_null("scheduled_for"),
        _words_or_null("waits_for"),
        _words_or_null("attributes"),
        _words_or_null("progress"),
        _number("changed"),
        maker.primary("runs", "id"),
        maker.check("runs", "status_known", _one_of("status", Status)),
        maker.check("runs", "cause_known", f"cause IS NULL OR {_one_of('cause', Cause)}"),
        maker.check("runs", "ended_at_end", f"(ended_at IS NOT NULL) = ({_one_of('status', ENDED)})"),
        maker.check("runs", "ended_is_idle", "ended_at IS NULL OR (owner IS NULL AND due_at IS NULL)"),
        maker.check("runs", "counts", "mail >= 0 AND lost >= 0"),
        maker.check("runs", "child_whole", "(parent IS NULL) = (root IS NULL)"),
    )
    maker.index(table, "due", "due_at", where=f"owner IS NULL AND {_one_of('status', CLAIMABLE)}")
    maker.index(table, "owned", "owner", where="owner IS NOT NULL")
    maker.index(table, "parked", "created_at", "id", where=_one_of("status", [Status.PARKED]))
    maker.index(table, "created", "created_at", "id")
    maker.index(table, "children", "parent", "created_at", "id", where="parent IS NOT NULL")
    maker.index(table, "tree", "root", where="root IS NOT NULL")
    maker.index(table, "changed", "changed")
    return table


def _attributes(maker: _Maker) -> Table:
    # When the run was created stands here too, so that a page of a list is read from the index, in its order.
    table = maker.table(
        "attributes",
        _key("run_id"),
        _key("name"),
        _key("kind"),
        _key("value"),
        _number("created_at"),
        maker.primary("attributes", "run_id", "name"),
        maker.check("attributes", "kind_known", _one_of("kind", AttributeKind)),
    )
    maker.index(table, "search", "name", "kind", "value", "created_at", "run_id")
    return table


def _journal(maker: _Maker) -> Table:
    # A table with rowids on SQLite: appending costs half the CPU of WITHOUT ROWID, a quarter with payloads
    # of 500 bytes, because rows land together at the end instead of each in its run's page.
    return maker.table(
        "journal",
        _key("run_id"),
        _number("seq"),
        _words("kind"),
        _number("at"),
        _number_or_null("ref"),
        _number_or_null("attempt"),
        _words_or_null("name"),
        _words_or_null("meta"),
        _payload("payload"),
        Column("format", SmallInteger, nullable=False),
        maker.primary("journal", "run_id", "seq"),
    )


def _inbox(maker: _Maker) -> Table:
    table = maker.table(
        "inbox",
        _key("run_id"),
        _number("number"),
        _key("key"),
        _words("kind"),
        _number("at"),
        _words_or_null("meta"),
        _payload("payload"),
        Column("taken", Boolean, nullable=False),
        maker.primary("inbox", "run_id", "number"),
        maker.unique("inbox", "run_id", "key"),
    )
    maker.index(table, "unread", "run_id", "number", where="NOT taken", on_sqlite="taken = 0")
    return table


def _approvals(maker: _Maker) -> Table:
    table = maker.table(
        "approvals",
        _key("id"),
        _key("run_id"),
        _number("ref"),
        _words("status"),
        _words("digest"),
        Column("request", LargeBinary, nullable=False),
        _number("quorum"),
        _payload("decision"),
        _words_or_null("decided_by"),
        _number("created_at"),
        _number_or_null("expires_at"),
        _number_or_null("decided_at"),
        _words_or_null("revoked"),
        maker.primary("approvals", "id"),
        maker.check("approvals", "status_known", _one_of("status", ApprovalStatus)),
        maker.check("approvals", "decided_at_decision", "(decided_at IS NULL) = (status = 'pending')"),
    )
    maker.index(table, "pending", "created_at", where=_one_of("status", [ApprovalStatus.PENDING]))
    maker.index(table, "of_run", "run_id")
    return table


def _votes(maker: _Maker) -> Table:
    return maker.table(
        "votes",
        _key("approval_id"),
        _key("by"),
        Column("approved", Boolean, nullable=False),
        _words("how"),
        _number("at"),
        _words("digest"),
        _words("values"),
        _payload("payload"),
        maker.primary("votes", "approval_id", "by"),
    )


def _workers(maker: _Maker) -> Table:
    return maker.table(
        "workers",
        _key("id"),
        _number("epoch"),
        _number("batch"),
        _number("lease_until"),
        _words("host"),
        _number("pid"),
        _words("process"),
        _number("started_at"),
        _words("serves"),
        _number_or_null("dead_at"),
        maker.primary("workers", "id"),
    )


def _schedules(maker: _Maker) -> Table:
    table = maker.table(
        "schedules",
        _key("id"),
        _words("saga"),
        _words("version"),
        Column("input", LargeBinary, nullable=False),
        Column("format", SmallInteger, nullable=False),
        _words("definition"),
        Column("paused", Boolean, nullable=False),
        _number_or_null("next_at"),
        _number_or_null("waiting_at"),
        Column("last_run", _key_type()),
        _number_or_null("last_at"),
        _number("started"),
        _number("skipped"),
        _number_or_null("last_skipped_at"),
        _number("created_at"),
        _number("updated_at"),
        _number("revision"),
        maker.primary("schedules", "id"),
        maker.check("schedules", "paused_rests", "NOT paused OR (next_at IS NULL AND waiting_at IS NULL)"),
        maker.check("schedules", "counts", "started >= 0 AND skipped >= 0 AND revision > 0"),
    )
    maker.index(table, "due", "next_at", where="next_at IS NOT NULL")
    maker.index(table, "waiting", "waiting_at", where="waiting_at IS NOT NULL")
    return table


def _transactions(maker: _Maker) -> Table:
    # One row per key of a transactional step: what its transaction has done, and which never may.
    table = maker.table(
        "transactions",
        _key("key"),
        _key("run_id"),
        _payload("result"),
        _number("refused"),
        _number_or_null("landed_at"),
        _number_or_null("undone_at"),
        maker.primary("transactions", "key"),
        maker.check(
            "transactions", "says_something", "refused > 0 OR landed_at IS NOT NULL OR undone_at IS NOT NULL"
        ),
    )
    maker.index(table, "of_run", "run_id")
    return table


def _audit(maker: _Maker) -> Table:
    table = maker.table(
        "audit",
        _serial("number"),
        _key("run_id"),
        _number("at"),
        _words("actor"),
        _words("action"),
        _words_or_null("detail"),
        maker.primary("audit", "number"),
    )
    maker.index(table, "of_run", "run_id", "number")
    return table
