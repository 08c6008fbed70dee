"""A second attempt: what the first supplier couldn't carry through is undone, and the next one is asked.

Each attempt is a savepoint: an error that leaves it undoes exactly what was called in it. What was done
before stays, and the steps that are called again have new keys.
"""

import logging
from contextlib import suppress
from datetime import timedelta
from tempfile import TemporaryDirectory

from amends.sagas import (
    Coordinator,
    NoEffect,
    Retry,
    RunFailed,
    Undo,
    current_step,
    saga,
    savepoint,
    step,
)

TWICE = Retry(attempts=2, wait=timedelta(milliseconds=20))
SUPPLIERS = ("North", "South")


class NoLorry(NoEffect):
    """The supplier has no lorry for it; nothing was booked."""


class NobodyDelivers(Exception):
    """All suppliers were asked."""


class Market:
    """The world: what stands, by the key under which it was asked for, and `told`: what happened.

    `stuck` names suppliers without a lorry, `silent` those who book one and don't answer. `keys` are all that
    were ever used.
    """

    def __init__(self, *, stuck: tuple[str, ...] = (), silent: tuple[str, ...] = ()) -> None:
        self.stuck, self.silent = stuck, silent
        self.reset()

    def reset(self) -> None:
        """Bring everything back to the beginning."""
        self.stands: dict[str, str] = {}
        self.keys: list[str] = []
        self.told: list[str] = []

    def snapshot(self) -> list[str]:
        """Tell what stands."""
        return sorted(self.stands.values())

    def do(self, what: str) -> None:
        """Do something under the step's key; the same key again does nothing more."""
        key = current_step().idempotency_key
        if key not in self.stands:
            self.stands[key] = what
            self.keys.append(key)
            self.told.append(what)

    def undo(self, undo: Undo[None]) -> None:
        """Undo what was done under a key, if anything was."""
        what = self.stands.pop(undo.forward_key, None)
        if what is not None:
            self.told.append(f"undone: {what}")


def market() -> Market:
    """Give the world that the coordinator was opened with."""
    found: Market = current_step().resources
    return found


@step(retry=TWICE)
async def set_money_aside(amount: int) -> None:
    """Keep the money for this purchase."""
    market().do(f"{amount}.00 set aside")


@set_money_aside.compensation
async def free_money(undo: Undo[None], amount: int) -> None:
    """Let it be spent otherwise."""
    market().undo(undo)


@step(retry=TWICE)
async def place_order(supplier: str, article: str) -> None:
    """Order the article."""
    market().do(f"{article} ordered from {supplier}")


@place_order.compensation
async def withdraw_order(undo: Undo[None], supplier: str, article: str) -> None:
    """Withdraw the order."""
    market().undo(undo)


@step(retry=TWICE)
async def book_lorry(supplier: str) -> None:
    """Have it brought."""
    if supplier in market().stuck:
        raise NoLorry(supplier)
    market().do(f"lorry from {supplier}")
    if supplier in market().silent:
        raise ConnectionError(f"no answer from {supplier}")


@book_lorry.compensation
async def cancel_lorry(undo: Undo[None], supplier: str) -> None:
    """Call the lorry off, whether or not it was booked."""
    market().undo(undo)


@saga
async def buy(article: str, amount: int) -> str:
    """Buy from the first supplier who can deliver."""
    await set_money_aside(amount)
    for supplier in SUPPLIERS:
        with suppress(NoLorry, ConnectionError):
            async with savepoint():
                await place_order(supplier, article)
                await book_lorry(supplier)
                return f"{article} from {supplier}"
        # Here nothing of the attempt is left.
    raise NobodyDelivers(article)


def show(title: str, world: Market) -> None:
    """Buy a kettle in this world, and print what happened."""
    with (
        TemporaryDirectory() as folder,
        Coordinator.sync(f"sqlite:///{folder}/purchases.db", resources=world) as coordinator,
    ):
        run = coordinator.start(buy, "kettle", 50, id="purchase-1")
        with suppress(RunFailed):
            run.result(timeout=30)
        print(f"{title}: {run.status()}")
    print("".join(f"  {line}\n" for line in world.told), end="")
    print(f"  what stands: {', '.join(world.snapshot()) or 'nothing'}")


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    show("the first supplier delivers", Market())
    show("the first has no lorry", Market(stuck=("North",)))
    show("the first books a lorry and doesn't answer", Market(silent=("North",)))
    show("nobody delivers", Market(stuck=("North", "South")))
