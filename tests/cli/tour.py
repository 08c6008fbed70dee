"""Sagas that await sagas; the file `trouble` names the calls that fail, `-name` those that undo."""

from datetime import timedelta
from pathlib import Path

from amends.sagas import NoEffect, Retry, Undo, continue_as_new, saga, savepoint, sleep, step

ONCE = Retry(attempts=1)


class Full(NoEffect):
    """Nothing is free."""


def in_trouble(name: str) -> bool:
    """Tell whether the test has named the call."""
    path = Path("trouble")
    return path.exists() and name in path.read_text().split()


@step(retry=ONCE)
async def book(what: str) -> str:
    if in_trouble(what):
        raise Full(what)
    return what


@book.compensation(retry=ONCE)
async def unbook(undo: Undo[str], what: str) -> None:
    if in_trouble(f"-{what}"):
        raise OSError(f"{what}: no answer")


@step(effect="pivot", retry=ONCE)
async def pay() -> str:
    if in_trouble("pay"):
        raise Full("pay")
    return "paid"


@saga
async def night(city: str) -> str:
    await book("hotel")
    return await book("dinner")


@saga
async def tour(city: str) -> str:
    await night(city)
    return await book("home")


@saga
async def paying() -> str:
    await book("goods")
    return await pay()


@saga
async def selling() -> str:
    await book("place")
    return await paying()


@saga
async def shop() -> str:
    return await selling()


@saga
async def resting() -> None:
    await book("bed")
    await sleep(timedelta(days=2))


@saga
async def journey() -> None:
    await resting()


@saga
async def careful(city: str) -> None:
    async with savepoint():
        await night(city)
        await book("home")


@saga
async def pages(page: int = 0) -> str:
    await book("page")
    if page < 2:
        await continue_as_new(page + 1)
    return f"{page} pages"
