"""A worker that kills itself in the handler of a run's end: `python -m ... URL POINT LOG`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from amends.sagas import Coordinator, Report, Retry, current_step, saga

POINTS = ("before", "after", "")
STUBBORN = Retry(attempts=1)


@saga(name="handled.run")
async def handled(number: int) -> int:
    if number < 0:
        raise ValueError("below zero")
    return number


@handled.on_complete(name="handled.told", retry=STUBBORN)
def told(report: Report[int]) -> None:
    """Note the report and the key in a file, and die before or after that."""
    _die("before")
    with Path(sys.argv[3]).open("a") as log:
        log.write(f"{report.run_id} {report.result} {current_step().idempotency_key}\n")
    _die("after")


def _die(point: str) -> None:
    if sys.argv[2] == point:
        os.kill(os.getpid(), signal.SIGKILL)


async def main() -> None:
    """Start the run and drive everything that is due."""
    async with Coordinator(sys.argv[1]) as coordinator:
        await coordinator.start(handled, 7, id="r")
        await coordinator.run_until_idle()
        sys.stdout.write(str(await (await coordinator.get("r/handled.told/1")).status()))


if __name__ == "__main__":
    asyncio.run(main())
