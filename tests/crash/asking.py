"""Sagas that are killed while they wait for people, or write rows of their own; children import them."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from sqlalchemy import Connection

from amends.sagas import Undo, approval, current_step, saga, sleep, transaction
from tests.crash import rows
from tests.crash.scenarios import AGAIN, QUICK, STUBBORN, book, look, world

PEOPLE = ("ann", "bob", "cy")
IN_TIME = timedelta(milliseconds=60)


class Rejected(Exception):
    """People said no."""


@saga
async def approved() -> list[str]:
    booked = [await book("hotel")]
    decision = await approval(title="Book the flight?", approvers=PEOPLE, requested_by="cy", quorum=2)
    if not decision.approved or decision.voters != ("ann", "bob"):
        raise Rejected(decision.status)
    return [*booked, await book("flight"), await book("car")]


@saga
async def expires() -> list[str]:
    """Nobody decides."""
    booked = [await book("hotel")]
    decision = await approval(title="Book the flight?", timeout=IN_TIME)
    return [*booked, await book("flight" if decision.approved else "train")]


@saga
async def asks_in_time() -> list[str]:
    """Ask again, for longer, as long as nobody decides in time."""
    booked, time = [await book("hotel")], IN_TIME / 4
    while not (await approval(title="Book the flight?", timeout=time)).approved:
        time *= 2
        await look("hotel")
    return [*booked, await book("flight")]


@saga
async def asks_and_waits() -> list[str]:
    booked = [await book("hotel"), await book("flight")]
    asked = asyncio.ensure_future(approval(title="Go on?"))
    await sleep(IN_TIME / 2)
    await look("desk")
    await asked
    await sleep(timedelta(hours=1))
    return booked


@transaction(retry=AGAIN, timeout=timedelta(seconds=5))
def enter(db: Connection, name: str) -> str:
    with world().row(name):
        rows.put(db, current_step().run_id, name)
    return name


@enter.compensation(retry=STUBBORN, timeout=QUICK * 10)
def strike(undo: Undo[str], db: Connection, name: str) -> None:
    with world().row(name, "undo"):
        rows.remove(db, current_step().run_id, name)


@saga
async def entered() -> list[str]:
    return [await book("hotel"), await enter("line"), await enter("sum"), await book("car")]
