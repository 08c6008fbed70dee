"""Listing schedules, and acting on them."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable
from enum import Enum

import typer
from rich.table import Table

from amends.cli.errors import CommandError, flat
from amends.cli.group import complain
from amends.cli.output import plain, render, write, write_json
from amends.cli.reading import must_exist, quiet, reading
from amends.cli.who import me
from amends.persistence.records import ScheduleRow
from amends.sagas.coordinator import Coordinator
from amends.sagas.schedule_view import Schedule, seen
from amends.story import words
from amends.story.documents import Document


class Act(Enum):
    """What can be done to a schedule, and how it stands then."""

    PAUSE = "is paused"
    RESUME = "goes on"
    DELETE = "is deleted"


def list_schedules(url: str, limit: int, after: str | None, *, as_json: bool) -> None:
    """Print schedules, as a table or as JSON. Raises `CommandError`."""
    with reading(url) as database:
        found, now = database.schedules.page(limit + 1, after or ""), database.now()
    rows = found[:limit]
    following = rows[-1].id if len(found) > limit else None
    if as_json:
        write_json({"schedules": [_document(row) for row in rows], "next": following})
    elif not rows:
        write("no schedules\n")
    else:
        render(_table(rows, now), table=True)
        if following is not None:
            complain(f"there are more: go on with --after {following}")


def act(url: str, what: Act, schedule_id: str, by: str | None) -> None:
    """Pause, resume or delete a schedule, and say so. Raises `ScheduleNotFound`, `ActionRefused`."""

    async def do(coordinator: Coordinator) -> None:
        schedules = coordinator.schedules
        done = {Act.PAUSE: schedules.pause, Act.RESUME: schedules.resume, Act.DELETE: schedules.delete}
        await done[what](schedule_id, by=by or me())
        come = ""
        if what is Act.RESUME:
            come = f", next {_next(await schedules.get(schedule_id), coordinator.desk.now())}"
        write(f"{schedule_id} {what.value}{come}\n")

    with_coordinator(url, do)


def trigger_run(url: str, schedule_id: str, by: str | None) -> None:
    """Start a run of a schedule now, and print its id. Raises `ScheduleNotFound`, `ActionRefused`."""

    async def do(coordinator: Coordinator) -> None:
        run = await coordinator.schedules.trigger(schedule_id, by=by or me())
        write(f"{run.id}\n")

    with_coordinator(url, do)


def refuse_options_before(context: typer.Context) -> None:
    """Raise `CommandError` for an option of the list that is given before a command: it would be lost."""
    for name in context.params:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise CommandError(f"--{name} belongs behind {context.invoked_subcommand!r}, if it takes it")


def with_coordinator(url: str, do: Callable[[Coordinator], Awaitable[None]]) -> None:
    """Do something with a coordinator that runs nothing, and makes no tables."""

    async def opened() -> None:
        async with Coordinator(url, work=False, migrate=False) as coordinator:
            await do(coordinator)

    must_exist(url)
    quiet()
    asyncio.run(opened())


def _document(row: ScheduleRow) -> Document:
    schedule = seen(row)
    return {
        "id": schedule.id,
        "saga": schedule.saga,
        "version": schedule.version,
        "cron": schedule.cron,
        "every_seconds": None if schedule.every is None else round(schedule.every.total_seconds()),
        "timezone": schedule.timezone,
        "start_at": words.iso(_ms(schedule.start_at)),
        "catch_up": schedule.catch_up.value,
        "overlap": schedule.overlap.value,
        "paused": schedule.paused,
        "next_at": words.iso(row.next_at),
        "waiting_at": words.iso(row.waiting_at),
        "last_run": schedule.last_run,
        "last_at": words.iso(row.last_at),
        "started": schedule.started,
        "skipped": schedule.skipped,
        "last_skipped_at": words.iso(row.last_skipped_at),
        "created_at": words.iso(row.created_at),
        "broken": schedule.broken,
    }


def _table(rows: list[ScheduleRow], now: int) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    table.add_column("SCHEDULE", no_wrap=True, min_width=max(len(row.id) for row in rows))
    for column in ("SAGA", "PLAN", "NEXT", "LAST"):
        table.add_column(column, no_wrap=True, overflow="ellipsis")
    for row in rows:
        schedule = seen(row)
        style = "bold red" if schedule.broken else "yellow" if schedule.paused else ""
        table.add_row(
            plain(row.id),
            plain(row.saga),
            plain(_plan(schedule)),
            plain(_next(schedule, now), style),
            plain("" if row.last_at is None else words.relative(row.last_at, now), "dim"),
        )
    return table


def _plan(schedule: Schedule) -> str:
    if schedule.broken:
        return ""
    if schedule.every is not None:
        return f"every {words.duration(round(schedule.every.total_seconds()) * 1000)}"
    return f"{schedule.cron} {schedule.timezone}"


def _next(schedule: Schedule, now: int) -> str:
    """Say what comes next: when, or why nothing does."""
    if schedule.broken:
        return f"broken: {flat(schedule.broken)}"
    if schedule.paused:
        return "paused"
    waits = "" if schedule.waiting_at is None else ", one waits"
    if schedule.next_at is None:
        return f"nothing more{waits}"
    due = _ms(schedule.next_at) or 0
    return (words.when(due, now) if due > now else "due") + waits


def _ms(moment: dt.datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1000)
