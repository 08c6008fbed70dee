"""Sagas that wait for people and for the world."""

from datetime import timedelta

from pydantic import BaseModel

from amends.sagas import approval, receive, saga, sleep, step


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
