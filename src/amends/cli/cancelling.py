"""Asking a run to stop."""

from __future__ import annotations

import asyncio

from amends.cli.output import write
from amends.cli.reading import must_exist, quiet
from amends.cli.who import me
from amends.sagas.coordinator import Coordinator
from amends.sagas.states import Status


def cancel_run(url: str, run_id: str, *, reason: str | None, by: str | None) -> None:
    """Ask a run to stop and undo what it has done; say what that means for it.

    Raises `CommandError`, `RunNotFound`, `RunEnded`.
    """
    must_exist(url)
    quiet()
    before = asyncio.run(_cancel(url, run_id, reason, by or me()))
    if before is Status.COMPENSATING:
        write(f"{run_id} is undoing what it has done already; that goes on as it was\n")
    else:
        write(f"{run_id} is asked to stop and to undo what it has done (it was {before})\n")


async def _cancel(url: str, run_id: str, reason: str | None, by: str) -> Status:
    async with Coordinator(url, work=False, migrate=False) as coordinator:
        before = await coordinator.desk.status(run_id)
        await coordinator.cancel(run_id, reason=reason, by=by)
        return before
