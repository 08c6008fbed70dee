"""The log: runs with journal and inbox, workers, and what belongs to them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects.postgresql import TEXT

revision = "0001"
down_revision = None

_ENDS = "'completed', 'compensated', 'partially_compensated', 'failed', 'cancelled'"
_STATUSES = f"'open', 'compensating', 'parked', {_ENDS}"
_CAUSES = "'error', 'cancel', 'deadline', 'operator'"
_ATTRIBUTES = "'text', 'number', 'flag', 'moment'"
_DECISIONS = "'pending', 'approved', 'rejected', 'expired', 'withdrawn'"


def upgrade() -> None:
    """Make all tables."""
    tables = context.config.attributes["tables"]
    maker = _Maker(tables.schema, tables.version.removesuffix("version"))
    makers = (
        _runs,
        _attributes,
        _journal,
        _inbox,
        _approvals,
        _votes,
        _workers,
        _schedules,
        _queues,
        _transactions,
        _audit,
    )
    for make in makers:
        make(maker)


class _Maker:
    """Make tables and indexes in the log's schema, under its prefix."""

    def __init__(self, schema: str | None, prefix: str) -> None:
        self.schema = schema
        self.prefix = prefix

    def table(self, name: str, *items: sa.schema.SchemaItem) -> None:
        op.create_table(f"{self.prefix}{name}", *items, schema=self.schema)

    def index(self, table: str, what: str, *columns: str, where: str | None = None) -> None:
        condition = None if where is None else sa.text(where)
        op.create_index(
            f"{self.prefix}{table}_{what}",
            f"{self.prefix}{table}",
            list(columns),
            schema=self.schema,
            postgresql_where=condition,
            sqlite_where=condition,
        )

    def primary(self, table: str, *columns: str) -> sa.PrimaryKeyConstraint:
        return sa.PrimaryKeyConstraint(*columns, name=f"{self.prefix}{table}_pkey")

    def check(self, table: str, what: str, condition: str) -> sa.CheckConstraint:
        return sa.CheckConstraint(condition, name=f"{self.prefix}{table}_{what}")


def _key(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text().with_variant(TEXT(collation="C"), "postgresql"), nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=nullable)


def _number(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=nullable)


def _bytes(name: str, *, nullable: bool = False) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary, nullable=nullable)


def _serial(name: str) -> sa.Column[int]:
    kind = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    return sa.Column(name, kind, sa.Identity(always=True), nullable=False)


def _runs(maker: _Maker) -> None:
    maker.table(
        "runs",
        _key("id"),
        _text("saga"),
        _text("version"),
        _key("queue"),
        _text("status"),
        _text("cause", nullable=True),
        _bytes("input"),
        _bytes("result", nullable=True),
        _bytes("error", nullable=True),
        _key("owner", nullable=True),
        _number("due_at", nullable=True),
        _number("deadline_at", nullable=True),
        _number("created_at"),
        _number("ended_at", nullable=True),
        _number("mail"),
        _number("lost"),
        _text("needs", nullable=True),
        _key("parent", nullable=True),
        _number("parent_ref", nullable=True),
        _key("root", nullable=True),
        _text("no_pivot", nullable=True),
        _number("scheduled_for", nullable=True),
        _text("trace", nullable=True),
        _text("waits_for", nullable=True),
        _text("place", nullable=True),
        _key("queue_key", nullable=True),
        _number("priority"),
        _text("above", nullable=True),
        _number("admitted_at", nullable=True),
        _text("attributes", nullable=True),
        _text("progress", nullable=True),
        sa.Column("undoable", sa.Boolean),
        _number("removed_at", nullable=True),
        _number("changed"),
        maker.primary("runs", "id"),
        maker.check("runs", "status_known", f"status IN ({_STATUSES})"),
        maker.check("runs", "cause_known", f"cause IS NULL OR cause IN ({_CAUSES})"),
        maker.check("runs", "ended_at_end", f"(ended_at IS NOT NULL) = (status IN ({_ENDS}))"),
        maker.check("runs", "ended_is_idle", "ended_at IS NULL OR (owner IS NULL AND due_at IS NULL)"),
        maker.check("runs", "counts", "mail >= 0 AND lost >= 0"),
        maker.check("runs", "child_whole", "(parent IS NULL) = (root IS NULL)"),
        maker.check("runs", "place_known", "place IS NULL OR place IN ('queued', 'behind', 'taken')"),
    )
    maker.index("runs", "due", "due_at", where="owner IS NULL AND status IN ('open', 'compensating')")
    maker.index(
        "runs", "due_of", "saga", "due_at", where="owner IS NULL AND status IN ('open', 'compensating')"
    )
    maker.index("runs", "owned", "owner", where="owner IS NOT NULL")
    maker.index("runs", "parked", "created_at", "id", where="status IN ('parked')")
    maker.index("runs", "compensating", "created_at", where="status IN ('compensating')")
    maker.index("runs", "created", "created_at", "id", where="removed_at IS NULL")
    maker.index("runs", "children", "parent", "created_at", "id", where="parent IS NOT NULL")
    maker.index("runs", "tree", "root", where="root IS NOT NULL")
    maker.index("runs", "changed", "changed")
    queued = "place = 'queued' AND status = 'open' AND owner IS NULL"
    maker.index("runs", "queued", "queue", "priority", "created_at", "id", where=queued)
    keyed = "place IN ('queued', 'behind') AND queue_key IS NOT NULL AND status = 'open' AND owner IS NULL"
    maker.index("runs", "keyed", "queue", "place", "queue_key", "priority", "created_at", "id", where=keyed)
    maker.index("runs", "places", "queue", "queue_key", where="place = 'taken' AND ended_at IS NULL")
    maker.index("runs", "admitted", "queue", "admitted_at", where="admitted_at IS NOT NULL")


def _queues(maker: _Maker) -> None:
    maker.table(
        "queues",
        _key("name"),
        _number("concurrency", nullable=True),
        _number("per_worker", nullable=True),
        _number("per_key", nullable=True),
        _number("rate_count", nullable=True),
        _number("rate_ms", nullable=True),
        sa.Column("paused", sa.Boolean, nullable=False),
        _number("updated_at"),
        maker.primary("queues", "name"),
        maker.check(
            "queues",
            "limits",
            "(concurrency IS NULL OR concurrency > 0) AND (per_worker IS NULL OR per_worker > 0)"
            " AND (per_key IS NULL OR per_key > 0) AND (rate_count IS NULL) = (rate_ms IS NULL)"
            " AND (rate_count IS NULL OR (rate_count > 0 AND rate_ms > 0))",
        ),
    )


def _attributes(maker: _Maker) -> None:
    maker.table(
        "attributes",
        _key("run_id"),
        _key("name"),
        _key("kind"),
        _key("value"),
        _number("created_at"),
        maker.primary("attributes", "run_id", "name"),
        maker.check("attributes", "kind_known", f"kind IN ({_ATTRIBUTES})"),
    )
    maker.index("attributes", "search", "name", "kind", "value", "created_at", "run_id")


def _journal(maker: _Maker) -> None:
    maker.table(
        "journal",
        _key("run_id"),
        _number("seq"),
        _text("kind"),
        _number("at"),
        _number("ref", nullable=True),
        _number("attempt", nullable=True),
        _text("name", nullable=True),
        _text("meta", nullable=True),
        _bytes("payload", nullable=True),
        sa.Column("format", sa.SmallInteger, nullable=False),
        maker.primary("journal", "run_id", "seq"),
    )


def _inbox(maker: _Maker) -> None:
    maker.table(
        "inbox",
        _key("run_id"),
        _number("number"),
        _key("key"),
        _text("kind"),
        _number("at"),
        _text("meta", nullable=True),
        _bytes("payload", nullable=True),
        sa.Column("taken", sa.Boolean, nullable=False),
        maker.primary("inbox", "run_id", "number"),
        sa.UniqueConstraint("run_id", "key", name=f"{maker.prefix}inbox_key_key"),
    )
    unread = "NOT taken" if op.get_context().dialect.name == "postgresql" else "taken = 0"
    maker.index("inbox", "unread", "run_id", "number", where=unread)


def _approvals(maker: _Maker) -> None:
    maker.table(
        "approvals",
        _key("id"),
        _key("run_id"),
        _number("ref"),
        _text("status"),
        _text("digest"),
        _bytes("request"),
        _number("quorum"),
        _bytes("decision", nullable=True),
        _text("decided_by", nullable=True),
        _number("created_at"),
        _number("expires_at", nullable=True),
        _number("decided_at", nullable=True),
        _text("revoked", nullable=True),
        maker.primary("approvals", "id"),
        maker.check("approvals", "status_known", f"status IN ({_DECISIONS})"),
        maker.check("approvals", "decided_at_decision", "(decided_at IS NULL) = (status = 'pending')"),
    )
    maker.index("approvals", "pending", "created_at", where="status IN ('pending')")
    maker.index("approvals", "of_run", "run_id")


def _votes(maker: _Maker) -> None:
    maker.table(
        "votes",
        _key("approval_id"),
        _key("by"),
        sa.Column("approved", sa.Boolean, nullable=False),
        _text("how"),
        _number("at"),
        _text("digest"),
        _text("values"),
        _bytes("payload", nullable=True),
        maker.primary("votes", "approval_id", "by"),
    )


def _workers(maker: _Maker) -> None:
    maker.table(
        "workers",
        _key("id"),
        _number("epoch"),
        _number("batch"),
        _number("lease_until"),
        _text("host"),
        _number("pid"),
        _text("process"),
        _number("started_at"),
        _text("serves"),
        _number("dead_at", nullable=True),
        maker.primary("workers", "id"),
    )


def _schedules(maker: _Maker) -> None:
    maker.table(
        "schedules",
        _key("id"),
        _text("saga"),
        _text("version"),
        _bytes("input"),
        sa.Column("format", sa.SmallInteger, nullable=False),
        _text("definition"),
        sa.Column("paused", sa.Boolean, nullable=False),
        _number("next_at", nullable=True),
        _number("waiting_at", nullable=True),
        _key("last_run", nullable=True),
        _number("last_at", nullable=True),
        _number("started"),
        _number("skipped"),
        _number("last_skipped_at", nullable=True),
        _number("created_at"),
        _number("updated_at"),
        _number("revision"),
        maker.primary("schedules", "id"),
        maker.check("schedules", "paused_rests", "NOT paused OR (next_at IS NULL AND waiting_at IS NULL)"),
        maker.check("schedules", "counts", "started >= 0 AND skipped >= 0 AND revision > 0"),
    )
    maker.index("schedules", "due", "next_at", where="next_at IS NOT NULL")
    maker.index("schedules", "waiting", "waiting_at", where="waiting_at IS NOT NULL")


def _transactions(maker: _Maker) -> None:
    maker.table(
        "transactions",
        _key("key"),
        _key("run_id"),
        _bytes("result", nullable=True),
        _number("refused"),
        _number("landed_at", nullable=True),
        _number("undone_at", nullable=True),
        maker.primary("transactions", "key"),
        maker.check(
            "transactions", "says_something", "refused > 0 OR landed_at IS NOT NULL OR undone_at IS NOT NULL"
        ),
    )
    maker.index("transactions", "of_run", "run_id")


def _audit(maker: _Maker) -> None:
    maker.table(
        "audit",
        _serial("number"),
        _key("run_id"),
        _number("at"),
        _text("actor"),
        _text("action"),
        _text("detail", nullable=True),
        maker.primary("audit", "number"),
    )
    maker.index("audit", "of_run", "run_id", "number")
