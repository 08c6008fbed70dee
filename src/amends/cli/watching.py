"""Watching runs in the terminal: a line for each change."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

from amends.cli.errors import flat
from amends.cli.output import finite, write
from amends.cli.reading import must_exist, quiet
from amends.sagas.attributes import AttributeValue
from amends.sagas.coordinator import Coordinator
from amends.sagas.watch import Change
from amends.story import shown, words


def watch_runs(
    url: str,
    run_id: str | None,
    *,
    status: str | None,
    saga: str | None,
    attributes: dict[str, AttributeValue],
    as_json: bool,
) -> None:
    """Print a line for each change, until a watched run has ended, or Ctrl-C is pressed.

    Raises what `Coordinator.watch` and `Run.watch` raise.
    """
    must_exist(url)
    quiet()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_watch(url, run_id, status, saga, attributes, as_json=as_json))


async def _watch(
    url: str,
    run_id: str | None,
    status: str | None,
    saga: str | None,
    attributes: dict[str, AttributeValue],
    *,
    as_json: bool,
) -> None:
    async with Coordinator(url, work=False, migrate=False) as coordinator:
        if run_id is None:
            changes = coordinator.watch(status=status, saga=saga, attributes=attributes)
        else:
            changes = (await coordinator.get(run_id)).watch()
        async for change in changes:
            told = json.dumps(finite(_document(change)), allow_nan=False) if as_json else _line(change)
            write(f"{told}\n")


def _line(change: Change) -> str:
    parts = [
        words.clock(round(change.at.timestamp() * 1000), date=False),
        flat(change.run_id),
        change.status.value.replace("_", " "),
    ]
    if change.waits_for:
        parts[-1] += f" for {flat(change.waits_for)}"
    if change.progress is not None:
        parts.append(shown.bar(change.progress))
    if change.attributes:
        parts.append(shown.listed(change.attributes))
    return "  ".join(parts)


def _document(change: Change) -> dict[str, Any]:
    return {
        "run": change.run_id,
        "saga": change.saga,
        "before": None if change.before is None else change.before.value,
        "status": change.status.value,
        "ended": change.ended,
        "cause": change.cause,
        "waits_for": change.waits_for,
        **shown.as_json(change.attributes, change.progress),
        "at": words.iso(round(change.at.timestamp() * 1000)),
    }
