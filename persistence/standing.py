"""What stands in the log and needs somebody, counted from small indexes alone: one query, for gauges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, func, select

from amends.persistence.approval_records import ApprovalStatus
from amends.persistence.columns import literals
from amends.persistence.records import Status
from amends.persistence.tables import Tables


@dataclass(frozen=True, slots=True)
class Standing:
    """What needs somebody, in the whole database.

    `parked` counts the parked runs, `owed` those that have turned round and haven't ended: they compensate,
    or are parked while they do. `pending` counts the approvals that nobody has decided, `oldest` is when the
    oldest of them was asked for, in milliseconds; None where there is none.
    """

    parked: int
    owed: int
    pending: int
    oldest: int | None


def standing_query(tables: Tables) -> Select[Any]:
    """Make the query; each part of it reads a partial index, which is as small as what it counts."""
    runs, approvals = tables.runs, tables.approvals
    parked = select(func.count()).select_from(runs).where(literals("status", [Status.PARKED]))
    undoing = select(func.count()).select_from(runs).where(literals("status", [Status.COMPENSATING]))
    pending = literals("status", [ApprovalStatus.PENDING])
    return select(
        parked.scalar_subquery(),
        parked.where(runs.c.cause.is_not(None)).scalar_subquery(),
        undoing.scalar_subquery(),
        select(func.count()).select_from(approvals).where(pending).scalar_subquery(),
        select(func.min(approvals.c.created_at)).where(pending).scalar_subquery(),
    )


def standing_of(row: Row[Any]) -> Standing:
    """Read the query's row."""
    parked, stuck, undoing, pending, oldest = tuple(row)
    return Standing(parked, stuck + undoing, pending, oldest)


def namespace_of(database: str | None, tables: Tables) -> str:
    """Name a log as telemetry calls it: the database, and where its tables are in it."""
    place = tables.schema or tables.version.removesuffix("version").rstrip("_")
    return f"{database or ''}|{place}"
