"""Telling a run to stop, or to wake up."""

from __future__ import annotations

import json
import uuid

from amends.persistence.records import AuditRow, InboxRow, Wake, Write, Written
from amends.sagas import checked
from amends.sagas.desk import Desk
from amends.sagas.errors import RunEnded
from amends.sagas.joining import Joinable
from amends.sagas.journal import WAKE, Kind
from amends.sagas.missing import not_found


async def cancel(
    desk: Desk, run_id: str, *, reason: str | None, by: str, connection: Joinable | None
) -> None:
    """Ask a run to stop and undo what it has done; raises what `Coordinator.cancel` raises."""
    checked.storable(reason, "the reason")
    by = checked.person(by, "who asks")
    meta = json.dumps({"reason": reason, "by": by})
    message = (Kind.CANCEL.value, Kind.CANCEL.value, meta)
    await _tell(desk, run_id, message, by, "it can't be cancelled any more", Wake.CANCEL, connection)


async def wake_up(desk: Desk, run_id: str, *, by: str) -> None:
    """Tell a run to wake up; raises what `Run.wake_up` raises."""
    by = checked.person(by, "who asks")
    meta = json.dumps({"by": by})
    await _tell(desk, run_id, (WAKE, "wake up", meta), by, "it doesn't sleep any more", Wake.NONE, None)


async def _tell(
    desk: Desk,
    run_id: str,
    message: tuple[str, str, str],
    by: str,
    too_late: str,
    wake: Wake,
    connection: Joinable | None,
) -> None:
    """Write a message of a kind, and the line of the audit trail that says who sent it."""
    kind, action, meta = message
    now = desk.now()
    row = InboxRow(run_id, f"{kind}:{uuid.uuid4().hex}", kind, now, meta)
    audit = AuditRow(run_id, now, by, action, meta)
    receipt = await desk.write(Write(run_id, inbox=row, wake=wake, audit=(audit,)), connection)
    if receipt.written is Written.UNKNOWN_RUN:
        raise not_found(run_id)
    if receipt.written is Written.ENDED:
        ended = await desk.row(run_id, connection)
        raise RunEnded(f"run {run_id!r} has ended already: {ended.status}; {too_late}")
    if connection is None:
        desk.look_for(run_id)
