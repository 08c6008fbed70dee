"""The tables, as SQLAlchemy Core; the same on both databases but for where they live.

On PostgreSQL they stand in a schema of their own (`amends.runs`), on SQLite they carry its name as a prefix
(`amends_runs`). Times are integer milliseconds of database time. Journal and inbox rows are found by run;
sleeping runs cost one entry in the index of due runs and nothing else.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Final

from sqlalchemy import (
    Boolean,
    Column,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
)

from amends.persistence.approval_records import ApprovalStatus
from amends.persistence.attribute_records import AttributeKind
from amends.persistence.columns import (
    Maker,
    key,
    key_type,
    number,
    number_or_null,
    one_of,
    payload,
    serial,
    words,
    words_or_null,
)
from amends.persistence.queue_records import Place
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

QUEUED: Final = "place = 'queued' AND status = 'open' AND owner IS NULL"
"""Runs that wait for a place in their queue, in the order in which they get one."""

KEYED: Final = "place IN ('queued', 'behind') AND queue_key IS NOT NULL AND status = 'open' AND owner IS NULL"
"""Runs that wait for a place and take turns with others."""

TAKEN: Final = "place = 'taken' AND ended_at IS NULL"
"""Runs that have one."""

KEPT: Final = "removed_at IS NULL"
"""Runs that are there; of one that was removed a row stays, so that its id isn't free again."""


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
    queues: Table
    transactions: Table
    audit: Table


@functools.cache
def tables_in(schema: str | None = None, prefix: str = "") -> Tables:
    """Return the tables of the log in `schema`, their names beginning with `prefix`."""
    maker = Maker(MetaData(schema=schema), prefix)
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
        queues=_queues(maker),
        transactions=_transactions(maker),
        audit=_audit(maker),
    )


def _runs(maker: Maker) -> Table:
    table = maker.table(
        "runs",
        key("id"),
        words("saga"),
        words("version"),
        key("queue"),
        words("status"),
        words_or_null("cause"),
        Column("input", LargeBinary, nullable=False),
        payload("result"),
        payload("error"),
        Column("owner", key_type()),
        number_or_null("due_at"),
        number_or_null("deadline_at"),
        number("created_at"),
        number_or_null("ended_at"),
        number("mail"),
        number("lost"),
        words_or_null("needs"),
        Column("parent", key_type()),
        number_or_null("parent_ref"),
        Column("root", key_type()),
        words_or_null("no_pivot"),
        number_or_null("scheduled_for"),
        words_or_null("trace"),
        words_or_null("waits_for"),
        words_or_null("place"),
        Column("queue_key", key_type()),
        number("priority"),
        words_or_null("above"),
        number_or_null("admitted_at"),
        words_or_null("attributes"),
        words_or_null("progress"),
        Column("undoable", Boolean),
        number_or_null("removed_at"),
        number("changed"),
        maker.primary("runs", "id"),
        maker.check("runs", "status_known", one_of("status", Status)),
        maker.check("runs", "cause_known", f"cause IS NULL OR {one_of('cause', Cause)}"),
        maker.check("runs", "ended_at_end", f"(ended_at IS NOT NULL) = ({one_of('status', ENDED)})"),
        maker.check("runs", "ended_is_idle", "ended_at IS NULL OR (owner IS NULL AND due_at IS NULL)"),
        maker.check("runs", "counts", "mail >= 0 AND lost >= 0"),
        maker.check("runs", "child_whole", "(parent IS NULL) = (root IS NULL)"),
        maker.check("runs", "place_known", f"place IS NULL OR {one_of('place', Place)}"),
    )
    maker.index(table, "due", "due_at", where=f"owner IS NULL AND {one_of('status', CLAIMABLE)}")
    maker.index(table, "due_of", "saga", "due_at", where=f"owner IS NULL AND {one_of('status', CLAIMABLE)}")
    maker.index(table, "owned", "owner", where="owner IS NOT NULL")
    maker.index(table, "parked", "created_at", "id", where=one_of("status", [Status.PARKED]))
    maker.index(table, "compensating", "created_at", where=one_of("status", [Status.COMPENSATING]))
    maker.index(table, "created", "created_at", "id", where=KEPT)
    maker.index(table, "children", "parent", "created_at", "id", where="parent IS NOT NULL")
    maker.index(table, "tree", "root", where="root IS NOT NULL")
    maker.index(table, "changed", "changed")
    # For the order in which runs get places, for that within a key, for those who have one, how many began.
    maker.index(table, "queued", "queue", "priority", "created_at", "id", where=QUEUED)
    maker.index(table, "keyed", "queue", "place", "queue_key", "priority", "created_at", "id", where=KEYED)
    maker.index(table, "places", "queue", "queue_key", where=TAKEN)
    maker.index(table, "admitted", "queue", "admitted_at", where="admitted_at IS NOT NULL")
    return table


def _queues(maker: Maker) -> Table:
    return maker.table(
        "queues",
        key("name"),
        number_or_null("concurrency"),
        number_or_null("per_worker"),
        number_or_null("per_key"),
        number_or_null("rate_count"),
        number_or_null("rate_ms"),
        Column("paused", Boolean, nullable=False),
        number("updated_at"),
        maker.primary("queues", "name"),
        maker.check(
            "queues",
            "limits",
            "(concurrency IS NULL OR concurrency > 0) AND (per_worker IS NULL OR per_worker > 0)"
            " AND (per_key IS NULL OR per_key > 0) AND (rate_count IS NULL) = (rate_ms IS NULL)"
            " AND (rate_count IS NULL OR (rate_count > 0 AND rate_ms > 0))",
        ),
    )


def _attributes(maker: Maker) -> Table:
    # When the run was created stands here too, so that a page of a list is read from the index, in its order.
    table = maker.table(
        "attributes",
        key("run_id"),
        key("name"),
        key("kind"),
        key("value"),
        number("created_at"),
        maker.primary("attributes", "run_id", "name"),
        maker.check("attributes", "kind_known", one_of("kind", AttributeKind)),
    )
    maker.index(table, "search", "name", "kind", "value", "created_at", "run_id")
    return table


def _journal(maker: Maker) -> Table:
    # A table with rowids on SQLite: appending costs half the CPU of WITHOUT ROWID, a quarter with payloads
    # of 500 bytes, because rows land together at the end instead of each in its run's page.
    return maker.table(
        "journal",
        key("run_id"),
        number("seq"),
        words("kind"),
        number("at"),
        number_or_null("ref"),
        number_or_null("attempt"),
        words_or_null("name"),
        words_or_null("meta"),
        payload("payload"),
        Column("format", SmallInteger, nullable=False),
        maker.primary("journal", "run_id", "seq"),
    )


def _inbox(maker: Maker) -> Table:
    table = maker.table(
        "inbox",
        key("run_id"),
        number("number"),
        key("key"),
        words("kind"),
        number("at"),
        words_or_null("meta"),
        payload("payload"),
        Column("taken", Boolean, nullable=False),
        maker.primary("inbox", "run_id", "number"),
        maker.unique("inbox", "run_id", "key"),
    )
    maker.index(table, "unread", "run_id", "number", where="NOT taken", on_sqlite="taken = 0")
    return table


def _approvals(maker: Maker) -> Table:
    table = maker.table(
        "approvals",
        key("id"),
        key("run_id"),
        number("ref"),
        words("status"),
        words("digest"),
        Column("request", LargeBinary, nullable=False),
        number("quorum"),
        payload("decision"),
        words_or_null("decided_by"),
        number("created_at"),
        number_or_null("expires_at"),
        number_or_null("decided_at"),
        words_or_null("revoked"),
        maker.primary("approvals", "id"),
        maker.check("approvals", "status_known", one_of("status", ApprovalStatus)),
        maker.check("approvals", "decided_at_decision", "(decided_at IS NULL) = (status = 'pending')"),
    )
    maker.index(table, "pending", "created_at", where=one_of("status", [ApprovalStatus.PENDING]))
    maker.index(table, "of_run", "run_id")
    return table


def _votes(maker: Maker) -> Table:
    return maker.table(
        "votes",
        key("approval_id"),
        key("by"),
        Column("approved", Boolean, nullable=False),
        words("how"),
        number("at"),
        words("digest"),
        words("values"),
        payload("payload"),
        maker.primary("votes", "approval_id", "by"),
    )


def _workers(maker: Maker) -> Table:
    return maker.table(
        "workers",
        key("id"),
        number("epoch"),
        number("batch"),
        number("lease_until"),
        words("host"),
        number("pid"),
        words("process"),
        number("started_at"),
        words("serves"),
        number_or_null("dead_at"),
        maker.primary("workers", "id"),
    )


def _schedules(maker: Maker) -> Table:
    table = maker.table(
        "schedules",
        key("id"),
        words("saga"),
        words("version"),
        Column("input", LargeBinary, nullable=False),
        Column("format", SmallInteger, nullable=False),
        words("definition"),
        Column("paused", Boolean, nullable=False),
        number_or_null("next_at"),
        number_or_null("waiting_at"),
        Column("last_run", key_type()),
        number_or_null("last_at"),
        number("started"),
        number("skipped"),
        number_or_null("last_skipped_at"),
        number("created_at"),
        number("updated_at"),
        number("revision"),
        maker.primary("schedules", "id"),
        maker.check("schedules", "paused_rests", "NOT paused OR (next_at IS NULL AND waiting_at IS NULL)"),
        maker.check("schedules", "counts", "started >= 0 AND skipped >= 0 AND revision > 0"),
    )
    maker.index(table, "due", "next_at", where="next_at IS NOT NULL")
    maker.index(table, "waiting", "waiting_at", where="waiting_at IS NOT NULL")
    return table


def _transactions(maker: Maker) -> Table:
    # One row per key of a transactional step: what its transaction has done, and which never may.
    table = maker.table(
        "transactions",
        key("key"),
        key("run_id"),
        payload("result"),
        number("refused"),
        number_or_null("landed_at"),
        number_or_null("undone_at"),
        maker.primary("transactions", "key"),
        maker.check(
            "transactions", "says_something", "refused > 0 OR landed_at IS NOT NULL OR undone_at IS NOT NULL"
        ),
    )
    maker.index(table, "of_run", "run_id")
    return table


def _audit(maker: Maker) -> Table:
    table = maker.table(
        "audit",
        serial("number"),
        key("run_id"),
        number("at"),
        words("actor"),
        words("action"),
        words_or_null("detail"),
        maker.primary("audit", "number"),
    )
    maker.index(table, "of_run", "run_id", "number")
    return table
