"""Sagas that wait for people and for the world."""

from datetime import timedelta

from pydantic import BaseModel

from amends.sagas import receive, saga, step


class Payment(BaseModel):
    amount: int


@step
async def ship(amount: int) -> int:
    return amount


@saga
async def order() -> int:
    payment = await receive(Payment, name="paid", timeout=timedelta(days=3))
    return await ship(payment.amount)
