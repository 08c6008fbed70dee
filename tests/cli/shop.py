"""Sagas for the tests of the command line; steps do what the order's `card` says."""

import asyncio
import logging
import time
from datetime import date, timedelta
from pathlib import Path

from pydantic import BaseModel

from amends.sagas import Fatal, NoEffect, Retry, Undo, current_step, saga, sleep, step

log = logging.getLogger("shop")


class CardDeclined(NoEffect):
    """The bank says no, and nothing has happened."""


class Order(BaseModel):
    """What is ordered, and with which card it is paid."""

    id: str
    quantity: int = 1
    card: str = "visa"


@step
async def reserve_stock(order: Order) -> str:
    return f"shelf of {order.id}"


@reserve_stock.compensation
async def release_stock(undo: Undo[str], order: Order) -> None:
    log.info("released %s", order.id)


@step(retry=Retry(attempts=3, wait=timedelta(milliseconds=1)))
def charge_card(order: Order) -> str:
    if order.card == "declined":
        raise CardDeclined("insufficient funds")
    if order.card == "shaky" and current_step().attempt == 1:
        raise ConnectionError("the bank\nhung up \x1b[31m")
    return "payment 1"


@charge_card.compensation
def refund(undo: Undo[str], order: Order) -> None:
    if order.card == "broken":
        raise Fatal("the bank is gone")


@step(effect="irreversible")
async def tell_customer(order: Order) -> None: ...


@step
async def ship(order: Order) -> str:
    if order.card == "broken":
        raise Fatal("no courier")
    return f"parcel of {order.id}"


@saga
async def fulfil_order(order: Order) -> str:
    await reserve_stock(order)
    await charge_card(order)
    if order.card in ("slow", "broken"):
        await tell_customer(order)
    if order.card == "slow":
        await sleep(timedelta(hours=2))
    return await ship(order)


def go() -> bool:
    """Tell whether the test has said to go on."""
    return Path("go").exists()


@step
async def hold(forever: bool) -> str:  # noqa: FBT001 - as JSON has it
    """Run until the file `go` is there; the first attempt, if `forever`, until its worker ends."""
    attempt = current_step().attempt
    log.info("holding in attempt %d", attempt)
    while attempt == 1 and (forever or not go()):  # noqa: ASYNC110 - another process says so
        await asyncio.sleep(0.01)
    return f"held in attempt {attempt}"


@saga
async def keep(forever: bool) -> str:  # noqa: FBT001 - as JSON has it
    log.info("the body begins")
    return await hold(forever)


@step
def block() -> None:
    """Hold a thread for longer than any test takes."""
    log.info("blocking")
    time.sleep(600)


@saga
async def hog() -> None:
    await block()


@saga(name="book-room", version=2)
async def book_room(guest: str, nights: int = 1, *, since: date | None = None) -> str:
    return f"{guest} {nights}"


@saga
async def tidy() -> str:
    return "tidied"


some = [keep, hog]
nothing = 3
