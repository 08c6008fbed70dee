"""Sagas that wait for people and for the world."""

from datetime import timedelta

from pydantic import BaseModel

from amends.sagas import approval, receive, saga, sleep, step, webhook


class Payment(BaseModel):
    amount: int


@step
async def ship(amount: int) -> int:
    return amount


@saga
async def order() -> int:
    payment = await receive(Payment, name="paid", timeout=timedelta(days=3))
    return await ship(payment.amount)


class Refund(BaseModel):
    amount: int
    note: str = ""


@saga
async def refund(amount: int) -> str:
    decision = await approval(
        Refund(amount=amount),
        title="Refund of an order",
        details={"order": 7},
        approvers=["ann", "bob", "cy"],
        quorum=2,
        timeout=timedelta(days=1),
    )
    return f"{decision.status}: {decision.values}"


@saga
async def nap() -> str:
    await sleep(timedelta(days=2))
    return "awake"


@step
async def hand_out(url: str) -> str:
    return url


@saga
async def hands_out() -> str:
    hook = await webhook(Payment)
    return await hand_out(hook.url)
