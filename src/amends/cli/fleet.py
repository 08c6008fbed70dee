"""Listing workers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from rich.table import Table

from amends.cli.output import plain, render, write, write_json
from amends.cli.scheduling import with_coordinator
from amends.sagas.coordinator import Coordinator
from amends.sagas.fleet import Worker
from amends.story import words
from amends.story.documents import Document


def list_workers(url: str, *, as_json: bool) -> None:
    """Print the workers, as a table or as JSON. Raises `CommandError`."""

    async def do(coordinator: Coordinator) -> None:
        workers = await coordinator.workers()
        if as_json:
            write_json({"workers": [_document(worker) for worker in workers]})
        elif not workers:
            write("no workers\n")
        else:
            render(_table(workers, coordinator.desk.now()), table=True)

    with_coordinator(url, do)


def _document(worker: Worker) -> Document:
    return {
        "id": worker.id,
        "host": worker.host,
        "pid": worker.pid,
        "started_at": words.iso(_ms(worker.started_at)),
        "lease_until": words.iso(_ms(worker.lease_until)),
        "live": worker.live,
        "holding": worker.holding,
        "sagas": list(worker.sagas),
        "queues": None if worker.queues is None else list(worker.queues),
    }


def _table(workers: Sequence[Worker], now: int) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    table.add_column("WORKER", no_wrap=True)
    table.add_column("HOLDS", no_wrap=True, justify="right")
    for column in ("SINCE", "LEASE", "SERVES"):
        table.add_column(column, no_wrap=True, overflow="ellipsis")
    for worker in workers:
        table.add_row(
            plain(worker.id),
            plain(str(worker.holding)),
            plain(words.relative(_ms(worker.started_at), now), "dim"),
            plain(_lease(worker, now), "" if worker.live else "bold red"),
            plain(_serves(worker)),
        )
    return table


def _lease(worker: Worker, now: int) -> str:
    until = _ms(worker.lease_until)
    return f"good for {words.duration(until - now)}" if worker.live else f"over {words.relative(until, now)}"


def _serves(worker: Worker) -> str:
    """Say what a worker serves, and of which queues where those are limited."""
    sagas = ", ".join(name.removesuffix("@1") for name in worker.sagas) or "no sagas"
    return sagas if worker.queues is None else f"{sagas}, of the queues {', '.join(worker.queues)}"


def _ms(moment: dt.datetime) -> int:
    return round(moment.timestamp() * 1000)
