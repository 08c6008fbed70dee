"""L: events that belong to keyed runs, each started by its first."""

from __future__ import annotations

import asyncio
from typing import Any

from amends.sagas import Coordinator, receive, saga
from benchmarks.figures import Figure, answer
from benchmarks.stopwatch import Stopwatch

KEYS = 1_000
AT_ONCE = 500


@saga
async def device(most: int) -> int:
    """Add up so many events."""
    total = 0
    for _ in range(most):
        total += await receive(int, name="reading")
    return total


async def measure(url: str, size: int) -> list[dict[str, Any]]:
    """Send `size` events to a thousand keys in turn, some hundred at a time; then wait for the runs' ends."""
    keys = min(KEYS, size)
    each = size // keys
    async with Coordinator(url) as coordinator:
        places = asyncio.Semaphore(AT_ONCE)

        async def send(number: int) -> None:
            async with places:
                await coordinator.signal_or_start(
                    device,
                    each,
                    id=f"device-{number % keys}",
                    name="reading",
                    payload=1,
                    message_id=f"event-{number}",
                )

        with Stopwatch() as received:
            with Stopwatch() as sent:
                await asyncio.gather(*(send(number) for number in range(each * keys)))
            runs = await asyncio.gather(*(coordinator.get(f"device-{number}") for number in range(keys)))
            totals = await asyncio.gather(*(run.result() for run in runs))
    return answer(
        Figure("events_per_second", "events acknowledged", each * keys / sent.seconds, "/s"),
        Figure("received_per_second", "events received", each * keys / received.seconds, "/s"),
        Figure("lost", "events lost or doubled", abs(each * keys - sum(totals)), "", "0"),
        *received.costs(each * keys, "event"),
    )
