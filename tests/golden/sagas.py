"""The sagas whose recorded journals are kept here, never changed: old journals must replay on them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from amends.sagas import (
    Retry,
    Saga,
    Undo,
    continue_as_new,
    now,
    random,
    receive,
    saga,
    set_attributes,
    set_progress,
    sleep,
    step,
    uuid4,
)


@step(name="golden.book", retry=Retry(attempts=3, wait=timedelta(seconds=5)), timeout=timedelta(seconds=60))
async def book(what: str, number: int = 1) -> dict[str, Any]:
    return {"what": what, "number": number}


@book.compensation(name="golden.book.undo")
async def unbook(undo: Undo[dict[str, Any]], what: str, number: int = 1) -> None: ...


@step(name="golden.look", effect="read")
async def look(what: str) -> str:
    return what.upper()


@step(name="golden.tell", effect="irreversible")
async def tell(what: str) -> None: ...


@step(name="golden.refuse", retry=Retry(attempts=2, wait=timedelta(seconds=5)))
async def refuse(what: str) -> None:
    raise ValueError(f"no {what}")


@refuse.compensation(name="golden.refuse.undo")
async def unrefuse(undo: Undo[None], what: str) -> None: ...


@saga(name="golden.sequence")
async def sequence(what: str) -> list[str]:
    first = await book(what)
    second = await book(first["what"], 2)
    await tell(what)
    return [first["what"], second["what"]]


@saga(name="golden.gather")
async def gather(names: list[str]) -> list[int]:
    booked = await asyncio.gather(*(book(name, len(name)) for name in names))
    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(tell(name))
    return [booking["number"] for booking in booked]


@saga(name="golden.race")
async def race(what: str) -> str:
    tasks = [asyncio.create_task(book(f"{what} {number}", number)) for number in range(3)]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    return " ".join(sorted(task.result()["what"] for task in done))


@saga(name="golden.retry")
async def retry(what: str) -> str:
    await book(what)
    try:
        await refuse(what)
    except ValueError as error:
        return f"{type(error).__name__}: {error}"
    return "never"


@saga(name="golden.sleep")
async def sleeping(what: str) -> list[Any]:
    began = now()
    await sleep(timedelta(days=3))
    try:
        async with asyncio.timeout(10):
            await sleep(60)
    except TimeoutError:
        await book(what)
    return [(now() - began).total_seconds(), random().random(), str(uuid4())]


@saga(name="golden.reads")
async def reads(what: str) -> str:
    seen = [await look(f"{what} {number}") for number in range(4)]
    booking = await book(seen[-1])
    return await look(str(booking["what"]))


@saga(name="golden.fails")
async def fails(what: str) -> None:
    await book(what)
    await asyncio.gather(book(f"{what} again"), look(what))
    await refuse(what)


@step(name="golden.pay", effect="pivot")
async def pay(amount: int) -> int:
    return amount


@saga(name="golden.room")
async def room(what: str, number: int) -> str:
    return str((await book(what, number))["what"])


@saga(name="golden.nested")
async def nested(what: str) -> list[str]:
    first = await room(what, 1)
    both = await asyncio.gather(room(f"{first} left", 2), book(what, 3))
    return [first, both[0]]


@saga(name="golden.nested.fails")
async def nested_fails(what: str) -> None:
    await nested(what)
    await refuse(what)


@saga(name="golden.sale")
async def sale(amount: int) -> int:
    await book("desk")
    return await pay(amount)


@saga(name="golden.sales")
async def sales(amount: int) -> int:
    await book("door")
    return await sale(amount) + await sale(amount + 1)


@saga(name="golden.pages")
async def pages(page: int) -> float:
    await book(f"page {page}", page)
    await sleep(60)
    if page < 3:
        await continue_as_new(page + 1)
    return random().random()


@saga(name="golden.paid")
async def paid(what: str) -> list[int]:
    await book(what)
    first = await receive(int, name="paid")
    rest = [await receive(int, name=name) for name in ("posted", "paid")]
    await tell(what)
    return [first, *rest]


@saga(name="golden.paid in time")
async def paid_in_time(what: str) -> list[str]:
    """Ask in vain, get what came late, and leave a receiver that loses to a timer."""
    got = []
    try:
        got.append(await receive(str, name="word", timeout=timedelta(days=1)))
    except TimeoutError:
        await book(what)
    got.append(await receive(str, name="word"))
    racers = [asyncio.ensure_future(receive(str, name="word")), asyncio.ensure_future(sleep(5))]
    done, pending = await asyncio.wait(racers, return_when=asyncio.FIRST_COMPLETED)
    for loser in pending:
        loser.cancel()
    got.append(f"{len(done)} of {len(racers)}")
    await book(what, 2)
    async for word in receive(str, name="word"):
        got.append(word)
        break
    return got


@saga(name="golden.letters")
async def letters(page: int, total: int) -> list[float]:
    """Receive one number a page; those that are early carry over."""
    total += await receive(int, name="number")
    await book(f"page {page}", page)
    if page < 3:
        await continue_as_new(page + 1, total)
    return [total, random().random()]


@step(name="golden.count")
async def count(what: str) -> None:
    set_progress(1, 2, what)
    set_attributes(counted=True)


@saga(name="golden.shows")
async def shows(what: str) -> str:
    set_attributes(what=what, number=2.5, since=datetime(2026, 1, 1, tzinfo=UTC))
    set_progress(0, 2)
    await look(what)
    set_progress(1, 2)
    await book(what)
    await count(what)
    await sleep(timedelta(hours=1))
    set_attributes(number=None)
    set_progress(2, 2, "done")
    return what


SHAPES: dict[str, tuple[Saga[..., Any], tuple[Any, ...], str]] = {
    "nested": (nested, ("kettle",), ""),
    "nested-killed": (nested, ("kettle",), "call 2 killed after"),
    "nested-fails": (nested_fails, ("kettle",), ""),
    "pages": (pages, (1,), ""),
    "pages-killed": (pages, (1,), "write 6 killed after"),
    "sales": (sales, (7,), ""),
    "sequence": (sequence, ("kettle",), ""),
    "sequence-killed": (sequence, ("kettle",), "call 2 killed after"),
    "sequence-cancelled": (sequence, ("kettle",), "call 2 cancelled during"),
    "gather": (gather, (["kettle", "pot", "pan"],), ""),
    "gather-fails": (gather, (["kettle", "pot", "pan"],), "call 2 unanswered"),
    "race": (race, ("kettle",), ""),
    "retry-and-undone-beside": (retry, ("kettle",), ""),
    "sleep": (sleeping, ("kettle",), ""),
    "sleep-killed": (sleeping, ("kettle",), "call 1 killed after"),
    "reads": (reads, ("kettle",), ""),
    "reads-fail": (reads, ("kettle",), "call 2 fails"),
    "fails": (fails, ("kettle",), ""),
    "shows": (shows, ("kettle",), ""),
    "shows-killed": (shows, ("kettle",), "call 3 killed after"),
    "paid": (paid, ("kettle",), ""),
    "paid-killed": (paid, ("kettle",), "write 3 killed after"),
    "paid-in-time": (paid_in_time, ("kettle",), "signal 1 late, signal 2 late"),
    "letters": (letters, (1, 0), "signal 3 early"),
    "letters-killed": (letters, (1, 0), "signal 3 early, call 2 killed after"),
}
"""Each journal by its file's name: the saga, its arguments, and the schedule that it was recorded under."""

SIGNALS: dict[str, list[tuple[str, Any]]] = {
    "paid": [("posted", 2), ("paid", 1), ("paid", 3)],
    "paid-killed": [("posted", 2), ("paid", 1), ("paid", 3)],
    "paid-in-time": [("word", "late"), ("word", "second")],
    "letters": [("number", 1), ("number", 10), ("number", 100)],
    "letters-killed": [("number", 1), ("number", 10), ("number", 100)],
}
"""What the recorded runs were sent."""
