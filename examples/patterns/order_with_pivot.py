"""An order with a point of no return: until it is paid it can be undone, from then on it goes forward.

The payment is the pivot. What comes after it must succeed in the end, so it is retriable: tried again and
again, until the carrier is back.
"""

import logging
from contextlib import suppress
from datetime import timedelta
from tempfile import TemporaryDirectory

from amends.sagas import Coordinator, NoEffect, Retry, RunFailed, Undo, current_step, saga, step

SOON = timedelta(milliseconds=20)


class CardDeclined(NoEffect):
    """The bank says no; nothing was paid."""


class Shop:
    """The world: what stands, by the key under which it was asked for, and `told`: what happened.

    With `declines` the bank refuses. `silent` is how many of its answers get lost after the payment, `closed`
    how many calls the carrier doesn't take.
    """

    def __init__(self, *, declines: bool = False, silent: int = 0, closed: int = 0) -> None:
        self.declines, self.silent, self.closed = declines, silent, closed
        self.reset()

    def reset(self) -> None:
        """Bring everything back to the beginning."""
        self.stands: dict[str, str] = {}
        self.told: list[str] = []
        self.unanswered, self.refused = self.silent, self.closed

    def snapshot(self) -> list[str]:
        """Tell what stands."""
        return sorted(self.stands.values())

    def do(self, what: str) -> None:
        """Do something under the step's key; the same key again does nothing more."""
        key = current_step().idempotency_key
        if key not in self.stands:
            self.stands[key] = what
            self.told.append(what)

    def undo(self, key: str, told: str) -> None:
        """Undo what was done under a key, if anything was."""
        if self.stands.pop(key, None) is not None:
            self.told.append(told)

    def pay(self, amount: int) -> None:
        """Take the money."""
        if self.declines:
            raise CardDeclined(amount)
        self.do(f"{amount}.00 paid")
        if self.unanswered:
            self.unanswered -= 1
            self.told.append("the bank doesn't answer")
            raise ConnectionError("no answer")

    def send(self, article: str) -> None:
        """Hand the parcel over."""
        if self.refused:
            self.refused -= 1
            self.told.append("the carrier is closed")
            raise ConnectionError("the carrier is closed")
        self.do(f"{article} sent")


def shop() -> Shop:
    """Give the world that the coordinator was opened with."""
    found: Shop = current_step().resources
    return found


@step
async def put_aside(article: str) -> None:
    """Keep the article for this order."""
    shop().do(f"{article} put aside")


@put_aside.compensation
async def put_back(undo: Undo[None], article: str) -> None:
    """Offer it for sale again."""
    shop().undo(undo.forward_key, f"{article} put back")


@step(effect="pivot", retry=Retry(attempts=5, wait=SOON), no_effect=CardDeclined)
async def take_payment(amount: int) -> None:
    """Charge the card: there is no way back from here."""
    shop().pay(amount)


@step(effect="retriable", retry=Retry(wait=SOON))
async def send_parcel(article: str) -> None:
    """Send what is paid for, however often it takes."""
    shop().send(article)


@saga
async def sell_for_good(article: str, amount: int) -> str:
    """Sell one article."""
    await put_aside(article)
    await take_payment(amount)
    await send_parcel(article)
    return f"{article} sold"


def show(title: str, world: Shop) -> None:
    """Sell a kettle in this world, and print what happened."""
    with (
        TemporaryDirectory() as folder,
        Coordinator.sync(f"sqlite:///{folder}/orders.db", resources=world) as coordinator,
    ):
        run = coordinator.start(sell_for_good, "kettle", 50, id="order-1")
        with suppress(RunFailed):
            run.result(timeout=30)
        print(f"{title}: {run.status()}")
    print("".join(f"  {line}\n" for line in world.told), end="")
    print(f"  what stands: {', '.join(world.snapshot()) or 'nothing'}")


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    show("all goes well", Shop())
    show("the card is declined", Shop(declines=True))
    show("the bank takes the money and doesn't answer, twice", Shop(silent=2))
    show("the carrier is closed five times", Shop(closed=5))
