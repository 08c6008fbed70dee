"""Sagas to be tested with amends.sagas.testing: good ones, and ones with the mistakes that people make."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from datetime import timedelta

from amends.sagas import NoEffect, Retry, Undo, current_step, saga, sleep, step


@dataclass(slots=True)
class Shop:
    """Participants that honour idempotency keys, and a till that doesn't."""

    bookings: dict[str, str] = field(default_factory=dict)
    till: int = 0
    paid: set[str] = field(default_factory=set)

    def reset(self) -> None:
        """Empty everything."""
        self.bookings.clear()
        self.till = 0
        self.paid.clear()

    def snapshot(self) -> tuple[list[str], int]:
        """Tell what is booked, and what is in the till."""
        return sorted(self.bookings.values()), self.till


SHOP = Shop()


def book(what: str) -> None:
    """Book something under the step's key."""
    SHOP.bookings[current_step().idempotency_key] = what


@step(name="kit.reserve")
async def reserve(article: str) -> str:
    await asyncio.sleep(0.5)
    book(f"{article} reserved")
    return f"shelf of {article}"


@reserve.compensation(name="kit.release")
async def release(undo: Undo[str], article: str) -> None:
    SHOP.bookings.pop(undo.forward_key, None)


@step(name="kit.charge")
def charge(article: str) -> int:
    book(f"{article} charged")
    return 50


@charge.compensation(name="kit.refund")
def refund(undo: Undo[int], article: str) -> None:
    SHOP.bookings.pop(undo.forward_key, None)


@step(name="kit.mail", effect="irreversible")
async def mail(article: str) -> None:
    book(f"mail about {article}")


@step(name="kit.refuse", retry=Retry(attempts=1))
async def refuse(article: str) -> None:
    raise NoEffect(f"no {article}")


@step(name="kit.look", effect="read")
async def look(article: str) -> int:
    return len(article)


@saga(name="kit.sell")
async def sell(article: str) -> str:
    """Sell; nothing is wrong with it."""
    place = await reserve(article)
    await sleep(timedelta(days=14))
    await charge(article)
    return place


@saga(name="kit.sell two")
async def sell_two(first: str, second: str) -> list[str]:
    """Sell two at once, then send a mail; nothing is wrong with it."""
    await look(first)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(reserve(article)) for article in (first, second)]
    await charge(first)
    await mail(first)
    return [task.result() for task in tasks]


@saga(name="kit.refused", deadline=timedelta(days=1))
async def refused(article: str) -> None:
    """Fail in the end, for good reason; nothing is wrong with it."""
    await reserve(article)
    await charge(article)
    await refuse(article)


@saga(name="kit.sell otherwise")
async def sell_otherwise(article: str) -> str:
    """Sell on credit when the bank fails: another end, which is right."""
    try:
        await charge(article)
    except Exception:  # noqa: BLE001 - whatever the bank says
        await reserve(f"credit for {article}")
        return "on credit"
    return "paid"


@step(name="kit.keyless")
async def keyless(amount: int) -> None:
    """Pay without a look at the key: done twice, it pays twice."""
    SHOP.till += amount


@keyless.compensation(name="kit.keyless.undo")
async def unpay(undo: Undo[None], amount: int) -> None:
    SHOP.till = 0


@saga(name="kit.ignores its key")
async def ignores_its_key(amount: int) -> None:
    await keyless(amount)


@step(name="kit.pay")
async def pay(amount: int) -> None:
    if current_step().idempotency_key not in SHOP.paid:
        SHOP.paid.add(current_step().idempotency_key)
        SHOP.till += amount


@pay.compensation(name="kit.pay.undo")
async def pay_back(undo: Undo[None], amount: int) -> None:
    """Pay back as often as it is called: a compensation that isn't idempotent."""
    if undo.forward_key in SHOP.paid:
        SHOP.till -= amount


@saga(name="kit.pays back twice")
async def pays_back_twice(amount: int) -> None:
    await pay(amount)
    await refuse("more")


@step(name="kit.pay blindly")
async def pay_blindly(amount: int) -> None:
    if current_step().idempotency_key not in SHOP.paid:
        SHOP.paid.add(current_step().idempotency_key)
        SHOP.till += amount


@pay_blindly.compensation(name="kit.pay blindly.undo")
async def pay_back_blindly(undo: Undo[None], amount: int) -> None:
    """Pay back what may never have been paid."""
    if undo.key not in SHOP.paid:
        SHOP.paid.add(undo.key)
        SHOP.till -= amount


@saga(name="kit.pays back blindly")
async def pays_back_blindly(amount: int) -> None:
    await pay_blindly(amount)


@step(name="kit.give")
async def give(points: int) -> None:
    book(f"{points} points")


@saga(name="kit.forgets to undo")
async def forgets_to_undo(points: int) -> None:
    """Use a step that has no compensation, and isn't declared to stay."""
    await reserve("kettle")
    await give(points)
    await charge("kettle")


ORDERS = itertools.count()


@saga(name="kit.counts in memory")
async def counts_in_memory(article: str) -> None:
    """Depend on what is in the process's memory: replayed, it asks for something else."""
    number = next(ORDERS)
    await reserve(f"{article} {number % 7}")
    await charge(article)


@saga(name="kit.reads the world")
async def reads_the_world(article: str) -> None:
    """Look at the world in the body: replayed, it sees another one."""
    await reserve(f"{article} {len(SHOP.bookings)}")
    await charge(article)


@step(name="kit.rent")
async def rent(car: str) -> None:
    book(car)


@rent.compensation(name="kit.rent.undo", retry=Retry(attempts=3))
async def give_back(undo: Undo[None], car: str) -> None:
    """Raise when there is nothing there."""
    del SHOP.bookings[undo.forward_key]


@saga(name="kit.raises when nothing is there")
async def raises_when_nothing_is_there(car: str) -> None:
    await rent(car)
    await charge(car)


@step(name="kit.charge plainly", retry=Retry(attempts=1))
async def charge_plainly(amount: int) -> None:
    if current_step().idempotency_key not in SHOP.bookings:
        book("charged")
        SHOP.till += amount


@saga(name="kit.charges again")
async def charges_again(amount: int) -> None:
    """Catch the error, and charge again under another key."""
    try:
        await charge_plainly(amount)
    except Exception:  # noqa: BLE001 - the mistake
        await charge_plainly(amount)


@step(name="kit.slip")
async def slip() -> None: ...


@slip.compensation(name="kit.slip.undo")
async def unslip(undo: Undo[None]) -> None:
    """Fail the first time."""
    SHOP.paid.add(undo.key)
    if current_step().attempt == 1:
        raise ConnectionError("not now")


@saga(name="kit.undone at the second try")
async def undone_at_the_second_try() -> None:
    await slip()
    await refuse("more")


@step(name="kit.close")
async def close() -> None:
    """Change what no reset brings back."""
    CLOSINGS.append("closed")


CLOSINGS: list[str] = []


@dataclass(slots=True)
class Unclean:
    """A world whose reset forgets something."""

    def reset(self) -> None:
        """Forget to reset."""

    def snapshot(self) -> int:
        """Tell what is there."""
        return len(CLOSINGS)


@saga(name="kit.closes")
async def closes() -> None:
    await close()


@saga(name="kit.waits for ever")
async def waits_for_ever() -> None:
    await asyncio.Event().wait()
