"""Approvals on the command line: listing them, showing one, deciding."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import Sequence
from typing import Any

from rich.table import Table

from amends.cli.errors import CommandError
from amends.cli.modules import import_given
from amends.cli.output import plain, render, write, write_json
from amends.cli.reading import must_exist, quiet
from amends.cli.who import me
from amends.sagas.coordinator import Coordinator
from amends.sagas.deciding import Approval
from amends.story import words

ALL = "all"


def list_approvals(
    url: str, status: str, *, run_id: str | None, limit: int, after: str | None, as_json: bool
) -> None:
    """Print approvals as a table or as JSON. Raises `CommandError`, `InputInvalid`."""
    must_exist(url)
    quiet()
    found, now = asyncio.run(_listed(url, status, run_id, limit, after))
    if as_json:
        write_json({"approvals": [document(each) for each in found]})
    elif not found:
        write("nobody is asked\n" if status == "pending" else "no approvals\n")
    else:
        render(_table(found, now), table=True)


def show_approval(url: str, approval_id: str, *, as_json: bool) -> None:
    """Print one approval with all that is asked. Raises `CommandError`, `ApprovalNotFound`."""
    must_exist(url)
    quiet()
    found, now = asyncio.run(_one(url, approval_id))
    if as_json:
        write_json(document(found))
    else:
        render(plain(f"{found.id}  {found.status}"), plain(""), *_lines(found, now))


def decide(
    url: str,
    approval_id: str,
    modules: Sequence[str],
    *,
    approved: bool,
    by: str | None,
    reason: str | None,
    filled_in: Sequence[str],
) -> None:
    """Decide for somebody. Raises `CommandError`, and what `Coordinator.decide` raises."""
    must_exist(url)
    import_given(modules)
    values = dict(_field(text) for text in filled_in) or None
    quiet()
    after = asyncio.run(_decide(url, approval_id, by or me(), reason, values, approved=approved))
    if after.status == "pending":
        write(f"{approval_id} is approved by {len(after.voters)} of {after.quorum}: {after.title}\n")
    else:
        write(f"{approval_id} is {after.status}: {after.title}\n")


def document(approval: Approval) -> dict[str, Any]:
    """Give an approval as JSON values."""
    return {
        "id": approval.id,
        "run": approval.run_id,
        "status": approval.status.value,
        "title": approval.title,
        "details": approval.details,
        "form": approval.form,
        "values": approval.values,
        "approvers": None if approval.approvers is None else list(approval.approvers),
        "requested_by": approval.requested_by,
        "quorum": approval.quorum,
        "voters": list(approval.voters),
        "digest": approval.digest,
        "created_at": _iso(approval.created_at),
        "expires_at": _iso(approval.expires_at),
        "decided_at": _iso(approval.decided_at),
        "decided_by": approval.decided_by,
        "reason": approval.reason,
    }


async def _listed(
    url: str, status: str, run_id: str | None, limit: int, after: str | None
) -> tuple[list[Approval], int]:
    async with Coordinator(url, work=False, migrate=False) as coordinator:
        wanted = None if status == ALL else status
        found = await coordinator.approvals(wanted, run_id=run_id, limit=limit, after=after)
        return found, coordinator.desk.now()


async def _one(url: str, approval_id: str) -> tuple[Approval, int]:
    async with Coordinator(url, work=False, migrate=False) as coordinator:
        return await coordinator.approval(approval_id), coordinator.desk.now()


async def _decide(
    url: str, approval_id: str, by: str, reason: str | None, values: Any, *, approved: bool
) -> Approval:
    async with Coordinator(url, work=False, migrate=False) as coordinator:
        await coordinator.decide(
            approval_id, approved=approved, by=by, reason=reason, values=values, how="cli"
        )
        return await coordinator.approval(approval_id)


def _field(text: str) -> tuple[str, Any]:
    """Read `field=value`: JSON where it is, a text otherwise. Raises `CommandError`."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise CommandError(f"--set {text!r}: give a field and a value, such as --set amount=7")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _table(found: Sequence[Approval], now: int) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for name in ("ID", "TITLE", "STATUS", "ASKED", "EXPIRES", "APPROVED"):
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    for each in found:
        table.add_row(
            plain(each.id),
            plain(each.title),
            plain(each.status.value),
            plain(_when(each.created_at, now), "dim"),
            plain(_when(each.expires_at, now), "dim"),
            plain(f"{len(each.voters)} of {each.quorum}", "dim"),
        )
    return table


def _lines(found: Approval, now: int) -> list[Any]:
    told = {
        "title": found.title,
        "run": found.run_id,
        "details": None if found.details is None else json.dumps(found.details, ensure_ascii=False),
        "fields": ", ".join(found.form["properties"]) if found.form else None,
        "values": None if found.values is None else json.dumps(found.values, ensure_ascii=False),
        "approvers": "anybody" if found.approvers is None else ", ".join(found.approvers),
        "asked by": found.requested_by,
        "approved": f"{len(found.voters)} of {found.quorum}{''.join(f', {each}' for each in found.voters)}",
        "asked": _when(found.created_at, now),
        "expires": _when(found.expires_at, now) or None,
        "decided": None if found.decided_by is None else f"by {found.decided_by}",
        "reason": found.reason,
    }
    return [plain(f"{name:<11}{text}") for name, text in told.items() if text is not None]


def _when(moment: dt.datetime | None, now: int) -> str:
    return "" if moment is None else words.relative(round(moment.timestamp() * 1000), now)


def _iso(moment: dt.datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
