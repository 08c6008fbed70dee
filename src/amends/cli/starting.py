"""Starting a run, and waiting for what becomes of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from amends.cli.errors import one_line
from amends.cli.given import arguments_from
from amends.cli.group import ExitCode, complain
from amends.cli.modules import AnySaga, modules_given, saga_called
from amends.cli.output import finite, write
from amends.cli.reading import quiet, reading
from amends.cli.traced import trace_if_asked
from amends.sagas.coordinator import Coordinator
from amends.sagas.errors import RunFailed
from amends.sagas.handle import Run
from amends.story.documents import decoded
from amends.story.view import View


def start_run(
    url: str, name: str, modules: Sequence[str], *, given: str | None, run_id: str | None, wait: bool
) -> int:
    """Start a run and print its id; with `wait`, its result too. Gives the exit code.

    Raises `CommandError`, and what `Coordinator.start` raises.
    """
    saga = saga_called(name, modules_given(modules))
    arguments = arguments_from(saga, given)
    quiet()
    trace_if_asked()
    return asyncio.run(_start(url, saga, arguments, run_id, wait=wait))


async def _start(url: str, saga: AnySaga, arguments: list[Any], run_id: str | None, *, wait: bool) -> int:
    async with Coordinator(url, work=False) as coordinator:
        run = await coordinator.start(saga, *arguments, id=run_id)
        write(f"{run.id}\n")
        return await _result(url, coordinator, run) if wait else ExitCode.DONE


async def _result(url: str, coordinator: Coordinator, run: Run[Any]) -> int:
    await asyncio.to_thread(_tell_who_is_missing, url, run.id)
    try:
        await run.result()
    except RunFailed as error:
        complain(one_line(error))
        return ExitCode.RUN_FAILED
    row = await coordinator.desk.row(run.id)
    write(f"{_as_json(row.result or b'null')}\n")
    return ExitCode.DONE


def _as_json(result: bytes) -> str:
    """Give a stored result as JSON that everybody reads: stored, NaN and the infinities are bare words."""
    text = result.decode()
    if "NaN" not in text and "Infinity" not in text:
        return text
    return json.dumps(finite(decoded(result)), ensure_ascii=False, separators=(",", ":"))


def _tell_who_is_missing(url: str, run_id: str) -> None:
    with reading(url) as database:
        row, view = database.run(run_id), View.of(database)
    if row is not None and row.ended_at is None and not view.is_served(row):
        complain(f"no live worker serves saga {row.saga!r} yet; waiting for one")
