"""Sending messages to runs that wait."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from amends.cli.given import parsed
from amends.cli.modules import import_given
from amends.cli.output import write
from amends.cli.reading import must_exist, quiet
from amends.cli.who import me
from amends.sagas.coordinator import Coordinator


def send_signal(
    url: str, run_id: str, name: str, modules: Sequence[str], *, given: str | None, message_id: str | None
) -> None:
    """Send a signal; say that it is on record.

    Raises `CommandError`, and what `Coordinator.signal` raises.
    """
    must_exist(url)
    import_given(modules)
    payload = None if given is None else parsed(given, "--payload")
    quiet()
    asyncio.run(_send(url, run_id, name, payload, message_id))
    write(f"{run_id} is sent the signal {name!r}\n")


def wake_run(url: str, run_id: str, *, by: str | None) -> None:
    """Wake a run that sleeps. Raises `CommandError`, `RunNotFound`, `RunEnded`."""
    must_exist(url)
    quiet()
    asyncio.run(_wake(url, run_id, by or me()))
    write(f"{run_id} is told to wake up\n")


async def _wake(url: str, run_id: str, by: str) -> None:
    async with Coordinator(url, work=False, migrate=False) as coordinator:
        await (await coordinator.get(run_id)).wake_up(by=by)


async def _send(url: str, run_id: str, name: str, payload: Any, message_id: str | None) -> None:
    async with Coordinator(url, work=False, migrate=False) as coordinator:
        await coordinator.signal(run_id, name, payload, message_id=message_id)
