"""Listing queues, and acting on them."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from enum import Enum

from rich.table import Table

from amends.cli import typed
from amends.cli.errors import CommandError
from amends.cli.output import plain, render, write, write_json
from amends.cli.scheduling import with_coordinator
from amends.cli.who import me
from amends.sagas.coordinator import Coordinator
from amends.sagas.queues import Queue, Rate
from amends.story import words
from amends.story.documents import Document

RATE = re.compile(r"(\d{1,9})/(\d{0,6})(s|min|m|h|d|w)")


class Act(Enum):
    """What can be done to a queue, and how it stands then."""

    PAUSE = "is paused"
    RESUME = "goes on"
    DELETE = "has no limits any more"


def list_queues(url: str, *, as_json: bool) -> None:
    """Print the queues, as a table or as JSON. Raises `CommandError`."""

    async def do(coordinator: Coordinator) -> None:
        queues = await coordinator.queues.list()
        if as_json:
            write_json({"queues": [_document(queue) for queue in queues]})
        elif not queues:
            write("no queues\n")
        else:
            render(_table(queues, coordinator.desk.now()), table=True)

    with_coordinator(url, do)


def put_queue(
    url: str, name: str, limits: Mapping[str, int | None], rate: str | None, by: str | None
) -> None:
    """Set a queue's limits, and say them. Raises `CommandError`, `InputInvalid`."""
    wanted = None if rate is None else _rate(rate)

    async def do(coordinator: Coordinator) -> None:
        queue = await coordinator.queues.put(name, **limits, rate=wanted, by=by or me())
        write(f"{queue.name}: {_limits(queue)}\n")

    with_coordinator(url, do)


def act(url: str, what: Act, name: str, by: str | None) -> None:
    """Pause, resume or delete a queue, and say so. Raises `QueueNotFound`, `InputInvalid`."""

    async def do(coordinator: Coordinator) -> None:
        queues = coordinator.queues
        done = {Act.PAUSE: queues.pause, Act.RESUME: queues.resume, Act.DELETE: queues.delete}
        await done[what](name, by=by or me())
        write(f"{name} {what.value}\n")

    with_coordinator(url, do)


def _rate(given: str) -> Rate:
    found = RATE.fullmatch(given)
    if found is None:
        raise CommandError(f"--rate {given}: give a count and a time, such as 100/1m, 5/10s or 1000/1d")
    count, many, unit = found.groups()
    return Rate(int(count), dt.timedelta(milliseconds=int(many or 1) * typed.AGO[unit]))


def _document(queue: Queue) -> Document:
    rate = queue.rate
    return {
        "name": queue.name,
        "concurrency": queue.concurrency,
        "per_worker": queue.per_worker,
        "per_key": queue.per_key,
        "rate": None if rate is None else {"count": rate.count, "seconds": rate.per.total_seconds()},
        "paused": queue.paused,
        "queued": queue.queued,
        "oldest": None if queue.oldest is None else words.iso(_ms(queue.oldest)),
        "going": queue.going,
    }


def _table(queues: Sequence[Queue], now: int) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    table.add_column("QUEUE", no_wrap=True)
    for column in ("QUEUED", "GOING"):
        table.add_column(column, no_wrap=True, justify="right")
    for column in ("OLDEST", "LIMITS"):
        table.add_column(column, no_wrap=True, overflow="ellipsis")
    for queue in queues:
        oldest = "" if queue.oldest is None else words.relative(_ms(queue.oldest), now)
        table.add_row(
            plain(queue.name),
            plain(str(queue.queued)),
            plain(str(queue.going)),
            plain(oldest, "dim"),
            plain(_limits(queue), "yellow" if queue.paused else ""),
        )
    return table


def _limits(queue: Queue) -> str:
    """Say a queue's limits: `paused, 10 at once, 1 of a key, 100 begin in 1 min`."""
    said = ["paused"] if queue.paused else []
    if queue.concurrency is not None:
        said.append(f"{queue.concurrency} at once")
    if queue.per_worker is not None:
        said.append(f"{queue.per_worker} at one worker")
    if queue.per_key is not None:
        said.append(f"{queue.per_key} of a key")
    if queue.rate is not None:
        said.append(
            f"{queue.rate.count} begin in {words.duration(round(queue.rate.per.total_seconds() * 1000))}"
        )
    return ", ".join(said) or "no limits"


def _ms(moment: dt.datetime) -> int:
    return round(moment.timestamp() * 1000)
