"""Showing a run's audit trail."""

from __future__ import annotations

import json
from typing import Any

from rich.table import Table

from amends.cli.errors import flat
from amends.cli.output import plain, render, write, write_json
from amends.cli.reading import reading
from amends.persistence.records import AuditRow
from amends.sagas.missing import missing
from amends.story import words

TOLD = ("act", "by", "ref", "reason", "refused", "landed")
"""What of an act's details is told in words."""


def show_audit(url: str, run_id: str, *, as_json: bool) -> None:
    """Print who did what to a run, in order. Raises `RunNotFound`."""
    with reading(url) as database:
        run, rows, now = database.run(run_id), database.audit(run_id), database.now()
        if run is None:
            raise missing(run_id, database.removals.tombstones(run_id))
    if as_json:
        write_json({"run": run_id, "audit": [_document(row) for row in rows]})
    elif not rows:
        write("nobody has done anything to this run\n")
    else:
        render(_table(rows, now), table=True)


def _document(row: AuditRow) -> dict[str, Any]:
    return {
        "at": words.iso(row.at),
        "actor": row.actor,
        "action": row.action,
        "detail": _detail(row),
    }


def _detail(row: AuditRow) -> dict[str, Any]:
    try:
        found = json.loads(row.detail or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _table(rows: list[AuditRow], now: int) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for column in ("WHEN", "WHO", "WHAT"):
        table.add_column(column, no_wrap=True)
    table.add_column("WHY", overflow="fold")
    for row in rows:
        table.add_row(words.when(row.at, now), plain(row.actor), plain(_what(row)), plain(_why(row)))
    return table


def _what(row: AuditRow) -> str:
    detail = _detail(row)
    step = f" step {detail['ref']}" if "ref" in detail else ""
    found = {True: " as landed", False: " as not landed"}.get(detail.get("landed", ""), "")
    return f"{row.action}{step}{found}"


def _why(row: AuditRow) -> str:
    detail = _detail(row)
    told = [flat(str(detail[name])) for name in ("reason", "refused") if name in detail]
    others = [f"{name} {flat(str(value))}" for name, value in detail.items() if name not in TOLD]
    return "; ".join([*told, *others])
