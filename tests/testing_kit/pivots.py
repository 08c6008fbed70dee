"""Sagas with a point of no return, to be tested with amends.sagas.testing."""

from __future__ import annotations

from datetime import timedelta

from amends.sagas import Landed, NoEffect, NotLanded, Retry, current_step, saga, step
from tests.testing_kit.shops import SHOP, book, refuse, reserve


@step(name="kit.deed", effect="pivot", retry=Retry(attempts=2))
async def sign_deed(article: str) -> str:
    book(f"deed of {article}")
    return article


async def deed_signed(article: str) -> Landed[str] | NotLanded:
    """Look into the books."""
    return Landed(article) if current_step().idempotency_key in SHOP.bookings else NotLanded()


@step(name="kit.deed probed", effect="pivot", retry=Retry(attempts=2), on_unknown=deed_signed)
async def sign_probed(article: str) -> str:
    book(f"deed of {article}")
    return article


async def never_signed(article: str) -> Landed[str] | NotLanded:
    """Say without a look that nothing is there."""
    return NotLanded()


@step(name="kit.deed denied", effect="pivot", retry=Retry(attempts=1), on_unknown=never_signed)
async def sign_denied(article: str) -> str:
    book(f"deed of {article}")
    return article


@step(name="kit.hand over", effect="retriable", retry=Retry(attempts=1, wait=timedelta(seconds=1)))
async def hand_over(article: str) -> None:
    book(f"{article} handed over")


@saga(name="kit.sell a house")
async def sell_house(article: str) -> str:
    """Go past a pivot; nothing is wrong with it."""
    await reserve(article)
    deed = await sign_deed(article)
    await hand_over(article)
    return deed


@saga(name="kit.sell a house, probing", deadline=timedelta(hours=1))
async def sell_probing(article: str) -> str:
    """Go past a pivot that can be looked for; nothing is wrong with it."""
    await reserve(article)
    deed = await sign_probed(article)
    await hand_over(article)
    return deed


@saga(name="kit.believes a probe that lies")
async def believes_a_liar(article: str) -> str:
    await reserve(article)
    return await sign_denied(article)


@step(name="kit.deed refused", effect="pivot")
async def refuse_deed(article: str) -> None:
    raise NoEffect(f"no deed of {article}")


@saga(name="kit.refused a deed")
async def refused_a_deed(article: str) -> None:
    """Be refused at the pivot, and make amends; nothing is wrong with it."""
    await reserve(article)
    await refuse_deed(article)


@saga(name="kit.goes another way")
async def goes_another_way(article: str) -> None:
    """Have something refused, and undone, before the pivot, and go on; nothing is wrong with it."""
    await reserve(article)
    try:
        await refuse("a second one")
    except NoEffect:
        await reserve("another")
    await sign_probed(article)
