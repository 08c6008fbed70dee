"""The sagas that are killed. Each returns the effects that it believes to stand when it completes.

Imported by the children that are killed, not by the tests: what is defined here stays out of their process.
"""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta

from amends.sagas import (
    Landed,
    NoEffect,
    NotLanded,
    Retry,
    Undo,
    continue_as_new,
    current_step,
    receive,
    saga,
    savepoint,
    sleep,
    step,
)
from tests.crash.participant import Participant

QUICK = timedelta(milliseconds=300)
PATIENT = timedelta(seconds=60)
"""Where a step that takes longer would be done twice, and nobody is to do anything twice."""
SOON = timedelta(milliseconds=20)
AGAIN = Retry(attempts=8, wait=SOON)
STUBBORN = Retry(attempts=50, wait=SOON)
DEADLY = 13
"""The exit code of a process that a step has ended."""


def world() -> Participant:
    found: Participant = current_step().resources
    return found


@step(retry=AGAIN, timeout=QUICK)
async def book(name: str) -> str:
    return await world().apply(name)


@book.compensation(retry=STUBBORN)
async def unbook(undo: Undo[str], name: str) -> None:
    await world().undo(name, undo)


@step(retry=AGAIN, timeout=QUICK)
def book_in_thread(name: str) -> str:
    return world().apply_in_thread(name)


@book_in_thread.compensation(retry=STUBBORN)
def unbook_in_thread(undo: Undo[str], name: str) -> None:
    world().undo_in_thread(name, undo)


@step(retry=Retry(attempts=1), timeout=QUICK)
async def charge(name: str) -> str:
    return await world().apply(name)


@charge.compensation(retry=STUBBORN)
async def refund(undo: Undo[str], name: str) -> None:
    await world().undo(name, undo)


@step(retry=AGAIN, timeout=QUICK, on_unknown="compensate")
async def hasty(name: str) -> str:
    return await world().apply(name)


@hasty.compensation(retry=STUBBORN)
async def unhasty(undo: Undo[str], name: str) -> None:
    await world().undo(name, undo)


@step(retry=AGAIN, timeout=timedelta(seconds=8))
async def patient(name: str) -> str:
    return await world().apply(name)


@patient.compensation(retry=STUBBORN, timeout=QUICK)
async def unpatient(undo: Undo[str], name: str) -> None:
    await world().undo(name, undo)


@step(retry=AGAIN, timeout=QUICK)
async def unreturnable(name: str) -> int:
    return await world().apply(name)  # type: ignore[return-value]  # that it isn't a number is the point


@unreturnable.compensation(retry=STUBBORN)
async def unreturned(undo: Undo[int], name: str) -> None:
    await world().undo(name, undo)


@step(retry=AGAIN, timeout=QUICK)
async def note(name: str) -> str:
    return await world().apply(name)


@step(retry=AGAIN, timeout=QUICK, effect="read")
async def look(name: str) -> str:
    return await world().read(name)


@step(timeout=QUICK)
async def deadly(name: str) -> str:
    await world().apply(name)
    os._exit(DEADLY)


@deadly.compensation
async def undeadly(undo: Undo[str], name: str) -> None:
    await world().undo(name, undo)


async def found(name: str) -> Landed[str] | NotLanded:
    return Landed(name) if await world().find(name) else NotLanded()


@step(retry=AGAIN, timeout=QUICK, on_unknown=found)
async def buy(name: str) -> str:
    return await world().apply(name)


@buy.compensation(retry=STUBBORN)
async def unbuy(undo: Undo[str], name: str) -> None:
    await world().undo(name, undo)


@step(retry=AGAIN, timeout=QUICK, effect="pivot")
async def pay(name: str) -> str:
    return await world().apply(name)


@step(retry=AGAIN, timeout=QUICK, effect="pivot", on_unknown=found)
async def pay_once(name: str) -> str:
    return await world().apply(name)


@step(retry=Retry(attempts=1), timeout=QUICK, effect="pivot", on_unknown="park")
async def pay_or_ask(name: str) -> str:
    return await world().apply(name)


@step(retry=AGAIN, timeout=QUICK)
async def sign(name: str) -> str:
    return await world().apply(name)


@sign.compensation(retry=Retry(attempts=1))
async def unsign(undo: Undo[str], name: str) -> None:
    await world().undo(name, undo)


@step(retry=Retry(attempts=1, wait=SOON), timeout=QUICK, effect="retriable")
async def deliver(name: str) -> str:
    return await world().apply(name)


@saga
async def linear() -> list[str]:
    return [await book("hotel"), await book("flight"), await book("car")]


@step(timeout=PATIENT)
async def note_in_a_crowd(name: str) -> str:
    return await world().apply(name)


@saga
async def noted_once() -> str:
    return await note_in_a_crowd("letter")


@saga(queue="counter")
async def lined_up() -> list[str]:
    return [await book("hotel"), await book("flight"), await book("car")]


@saga
async def in_threads() -> list[str]:
    return [await book_in_thread("hotel"), await book_in_thread("flight"), await book_in_thread("car")]


@saga
async def gathered() -> list[str]:
    first = await book("hotel")
    return [first, *await asyncio.gather(book("flight"), book("car"), book("tour")), await book("dinner")]


@saga
async def grouped() -> list[str]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(book(name)) for name in ("hotel", "flight", "car")]
    return [task.result() for task in tasks]


@saga
async def forked() -> list[str]:
    async def branch(*names: str) -> list[str]:
        return [await book(name) for name in names]

    first = await book("train")
    north, south = await asyncio.gather(branch("oslo", "bergen"), branch("rome", "naples"))
    return [first, *north, *south, await book("home")]


@saga
async def race() -> list[str]:
    racers = [asyncio.ensure_future(book(name)) for name in ("fast", "slow")]
    done, losers = await asyncio.wait(racers, return_when=asyncio.FIRST_COMPLETED)
    for loser in losers:
        loser.cancel()
    return [*(winner.result() for winner in racers if winner in done), await book("prize")]


@saga
async def impatient() -> list[str]:
    first = await book("hotel")
    try:
        async with asyncio.timeout(0.1):
            return [first, await book("slow")]
    except TimeoutError:
        return [first, await book("other")]


@saga
async def naps() -> list[str]:
    first = await book("hotel")
    await sleep(0.15)
    return [first, await book("flight")]


@saga
async def dozes() -> list[str]:
    first = await book("hotel")
    await sleep(timedelta(milliseconds=1_100))
    return [first, await book("flight")]


@saga
async def waits() -> list[str]:
    first, second = await book("hotel"), await book("flight")
    await sleep(timedelta(hours=1))
    return [first, second]


@saga(deadline=timedelta(milliseconds=800))
async def hurried() -> list[str]:
    first, second = await book("hotel"), await book("flight")
    await sleep(timedelta(hours=1))
    return [first, second]


@saga
async def either() -> list[str]:
    try:
        return [await charge("visa")]
    except Exception:  # noqa: BLE001 - whatever it is, the effect isn't in the world
        return [await charge("master")]


@saga
async def apologises() -> list[str]:
    booked = [await book("hotel")]
    try:
        booked.append(await book("flight"))
    except NoEffect:
        await book("voucher")
        raise
    return booked


@saga
async def decided_in_haste() -> list[str]:
    booked = [await book("hotel")]
    try:
        booked.append(await hasty("flight"))
    except Exception:  # noqa: BLE001 - as above
        booked.append(await book("train"))
    return booked


@saga
async def unencoded() -> list[str]:
    booked = [await book("hotel")]
    await unreturnable("flight")
    return booked


@saga
async def noted() -> list[str]:
    return [await book("hotel"), await note("letter"), await book("flight")]


@saga
async def looks() -> list[str]:
    booked = []
    for name in ("hotel", "flight"):
        for where in ("north", "south"):
            await look(where)
        booked.append(await book(name))
    await look("north")
    return booked


@saga
async def holds() -> list[str]:
    return [await patient("held"), await book("hotel")]


@saga
async def falters() -> list[str]:
    return [await patient("held"), await book("hotel"), await charge("car")]


@saga
async def poisonous() -> list[str]:
    return [await book("hotel"), await deadly("poison")]


@saga
async def bought() -> list[str]:
    return [await buy("hotel"), await buy("flight"), await book("car")]


@saga
async def paid() -> list[str]:
    return [await book("hotel"), await pay("money"), await deliver("goods")]


@saga
async def paid_once() -> list[str]:
    return [await book("hotel"), await pay_once("money"), await deliver("goods")]


@saga
async def asked() -> list[str]:
    return [await book("hotel"), await pay_or_ask("money"), await deliver("goods")]


@saga
async def fragile() -> list[str]:
    return [await book("hotel"), await sign("letter"), await book("flight")]


@saga
async def retraced() -> list[str]:
    booked = [await book("hotel")]
    try:
        async with savepoint():
            await asyncio.gather(book("flight"), book("tour"))
            await book("car")
    except Exception:  # noqa: BLE001 - as above
        booked.append(await book("train"))
    return booked


@saga
async def leg(*names: str) -> list[str]:
    return [await book(name) for name in names]


@saga
async def sale() -> list[str]:
    return [await book("desk"), await pay("money")]


@saga
async def nested() -> list[str]:
    return [*await leg("hotel", "flight"), await book("car")]


@saga
async def beside() -> list[str]:
    legs = await asyncio.gather(leg("hotel", "flight"), leg("tour", "car"))
    return [*legs[0], *legs[1]]


@saga
async def nested_twice() -> list[str]:
    return [await book("home"), *await nested()]


@saga
async def nested_and_caught() -> list[str]:
    try:
        return await leg("hotel", "flight")
    except Exception:  # noqa: BLE001 - as above
        return await leg("train")


@saga
async def sells() -> list[str]:
    return [await book("hotel"), *await sale(), await deliver("goods")]


@saga
async def begun_anew(*names: str) -> list[str]:
    left = list(names or ("hotel", "flight", "car"))
    await book(left[0])
    if left[1:]:
        await continue_as_new(*left[1:])
    return ["hotel", "flight", "car"]


@saga
async def told() -> list[str]:
    booked = [await book("hotel")]
    async for name in receive(str, name="book"):
        booked.append(await book(name))
        if name == "car":
            break
    return booked


@saga
async def told_in_time() -> list[str]:
    booked = [await book("hotel")]
    while len(booked) < len(("hotel", "flight")):
        try:
            booked.append(await book(await receive(str, name="book", timeout=SOON)))
        except TimeoutError:
            await look("hotel")
    return booked


@saga
async def told_anew(*booked: str) -> list[str]:
    booked = (*booked, await book(await receive(str, name="book")))
    if len(booked) < len(("hotel", "flight", "car")):
        await continue_as_new(*booked)
    return list(booked)


@saga
async def hears(most: int) -> list[str]:
    """Receive so many messages; nothing is done about them, so that hundreds take no time."""
    heard: list[str] = []
    async for name in receive(str, name="book"):
        heard.append(name)
        if len(heard) == most:
            break
    return heard


@saga
async def books_all(most: int) -> list[str]:
    """Book what so many messages say."""
    booked: list[str] = []
    async for name in receive(str, name="book"):
        booked.append(await book(name))
        if len(booked) == most:
            break
    return booked
