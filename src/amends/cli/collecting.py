"""Removing runs, and saying how many."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from amends.cli import typed
from amends.cli.errors import CommandError
from amends.cli.output import write, write_json
from amends.cli.scheduling import with_coordinator
from amends.cli.who import me
from amends.sagas.coordinator import Coordinator
from amends.sagas.retention import Collected


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be removed, as typed."""

    older_than: str
    undoable_older_than: str | None
    saga: str | None
    by: str | None
    dry_run: bool


def collect_runs(url: str, asked: Asked, *, as_json: bool) -> None:
    """Remove runs, and say how many. Raises `CommandError`, `InputInvalid`."""
    older = _age("--older-than", asked.older_than)
    undoable = None
    if asked.undoable_older_than is not None:
        undoable = _age("--undoable-older-than", asked.undoable_older_than)

    async def do(coordinator: Coordinator) -> None:
        done = await coordinator.gc(
            older_than=older,
            undoable_older_than=undoable,
            saga=asked.saga,
            dry_run=asked.dry_run,
            by=asked.by or me(),
        )
        if as_json:
            write_json({"removed": done.removed, "kept": done.kept, "dry_run": asked.dry_run})
        else:
            write(f"{_told(done, dry_run=asked.dry_run)}\n")

    with_coordinator(url, do)


def _age(option: str, text: str) -> dt.timedelta:
    digits = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = text[len(digits) :]
    if not digits.isascii() or not digits.isdigit() or len(digits) > len("999999") or unit not in typed.AGO:
        raise CommandError(f"{option} takes an age, such as 30d, 12w or 48h, not {text!r}")
    return dt.timedelta(milliseconds=int(digits) * typed.AGO[unit])


def _told(done: Collected, *, dry_run: bool) -> str:
    removed = (
        f"{done.removed} {'run' if done.removed == 1 else 'runs'} {'would be ' if dry_run else ''}removed"
    )
    return f"{removed}, {done.kept} kept that can still be undone" if done.kept else removed
