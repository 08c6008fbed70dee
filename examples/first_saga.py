"""Stop it with Ctrl-C wherever you like, or kill it; start it again, and it goes on where it was."""

import asyncio
from contextlib import suppress

from amends.sagas import Coordinator, Undo, saga, sleep, step


@step
async def reserve(article: str) -> str:
    print(f"reserve: the {article} is kept on shelf 7")
    return "shelf 7"


@reserve.compensation
async def release(undo: Undo[str], article: str) -> None:
    print(f"release: the {article} is for sale again")


@step
async def charge(article: str) -> None:
    print(f"charge: the {article} is paid")


@step
async def ship(shelf: str) -> str:
    print(f"ship: the parcel from {shelf} is on its way")
    return "shipped"


@saga
async def sell(article: str) -> str:
    shelf = await reserve(article)
    await charge(article)
    await sleep(3)
    return await ship(shelf)


async def main() -> None:
    async with Coordinator("sqlite:///first_saga.db") as coordinator:
        run = await coordinator.start(sell, "kettle", id="order-1")
        print(f"order-1 is done: {await run.result()}")


with suppress(KeyboardInterrupt):
    asyncio.run(main())

# ruff: noqa: D103 - twenty lines that say what they do
