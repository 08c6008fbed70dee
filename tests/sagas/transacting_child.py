"""A worker process that kills itself around a step's transaction: `python -m ... URL POINT COUNT`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from sqlalchemy import Connection, delete, event
from sqlalchemy.engine import Engine

from amends.persistence import guests
from amends.sagas import Coordinator, RunFailed, Undo, saga, transaction
from tests.sagas.ledgers import ROWS, put
from tests.sagas.running import AT_ONCE

POINTS = ("inside", "before commit", "after commit", "undo inside", "undo before commit", "undo after commit")
FAILING = 3


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at(point: str) -> bool:
    """Tell whether this process is to die here."""
    return sys.argv[2] == point


@transaction(name="killed.add", retry=AT_ONCE)
def add(db: Connection, run: int, number: int) -> int:
    if number == 2:
        _arm("")
        if at("inside"):
            put(db, "torn")
            die()
    return put(db, f"{run}/{number}")


@add.compensation(name="killed.remove", retry=AT_ONCE)
def remove(undo: Undo[int], db: Connection, run: int, number: int) -> None:
    _arm("undo ")
    db.execute(delete(ROWS).where(ROWS.c.id == undo.result))
    if at("undo inside"):
        die()


@saga(name="killed.adds")
async def adds(run: int) -> None:
    for number in range(4):
        await add(run, number)
    if run == FAILING:
        raise ValueError(run)


def _arm(which: str) -> None:
    """Die at the next commit of a step, before or after it."""

    def dies(connection: Connection) -> None:
        if connection not in guests._committing:  # noqa: SLF001 - whose commit it is
            return
        if at(f"{which}after commit"):
            driver = connection.connection.dbapi_connection
            if driver is not None:
                driver.commit()
            die()
        if at(f"{which}before commit"):
            die()

    event.listen(Engine, "commit", dies)


async def main() -> None:
    """Start the runs, whose ids are fixed, and wait for their ends."""
    async with Coordinator(sys.argv[1]) as coordinator:
        runs = [await coordinator.start(adds, n, id=f"r{n}") for n in range(FAILING + 1)]
        for run in runs:
            try:
                await run.result(60)
            except RunFailed as error:
                sys.stdout.write(error.status)


if __name__ == "__main__":
    asyncio.run(main())
