"""A refund that two people have to approve, who can change it; three cases in a few virtual days."""

import asyncio
import datetime as dt
import tempfile

from pydantic import BaseModel, Field

from amends.sagas import (
    Approval,
    Coordinator,
    DecisionRefused,
    Fatal,
    InputInvalid,
    Undo,
    approval,
    saga,
    step,
)
from amends.sagas.testing import VirtualClock

DAY = dt.timedelta(days=1)
BOOKED: dict[str, int] = {}
"""The bank's books: what was paid out, by order."""


class Refund(BaseModel):
    """What the people who approve may change."""

    amount: int = Field(gt=0, le=500)


@step
async def pay_out(order: str, amount: int) -> None:
    BOOKED[order] = amount


@pay_out.compensation
async def take_back(undo: Undo[None], order: str, amount: int) -> None:
    BOOKED.pop(order, None)


@step
async def tell_customer(order: str, amount: int) -> None:
    if order == "order-3":
        raise Fatal("the customer's address is unknown")


@saga
async def refund(order: str, amount: int, asked_by: str) -> str:
    """Pay what was approved; what was paid is taken back if the customer can't be told."""
    decision = await approval(
        Refund(amount=amount),
        title=f"Refund {order}",
        details={"order": order, "asked for": amount, "by": asked_by},
        approvers=["ann", "bob"],
        requested_by=asked_by,
        quorum=2,
        timeout=4 * DAY,
        escalate_to=["boss"],
        escalate_after=DAY,
        remind_every=DAY / 2,
    )
    if decision.values is None or not decision.approved:
        return f"{decision.status.value}{f' by {decision.by}: {decision.reason}' if decision.by else ''}"
    await pay_out(order, decision.values.amount)
    await tell_customer(order, decision.values.amount)
    return f"{decision.values.amount} paid, approved by {' and '.join(decision.voters)}"


async def decide(desk: Coordinator, asked: Approval, by: str, amount: int | None = None) -> None:
    """Let somebody approve, and tell what came of it."""
    values = None if amount is None else {"amount": amount}
    try:
        await desk.decide(asked.id, approved=True, by=by, values=values, digest=asked.digest)
    except (DecisionRefused, InputInvalid) as refusal:
        print(f"  {by}: {str(refusal).partition(': ')[2]}")
    else:
        print(f"  {by} approves{f' {amount}' if amount else ''}")


async def approve_together(desk: Coordinator, clock: VirtualClock) -> None:
    """Ann approves less than was asked for; bob has to approve the same."""
    (asked,) = await desk.approvals(run_id="refund-1")
    for by, amount in (("eve", None), ("ann", 900), ("ann", 80), ("bob", None), ("bob", 80)):
        await decide(desk, asked, by, amount)


async def escalate(desk: Coordinator, clock: VirtualClock) -> None:
    """Bob is away: after a day his boss may approve in his place."""
    (asked,) = await desk.approvals(run_id="refund-2")
    await decide(desk, asked, "ann")
    await decide(desk, asked, "boss")
    await clock.run(desk, until=clock.now + DAY)
    await decide(desk, asked, "boss")


async def undo(desk: Coordinator, clock: VirtualClock) -> None:
    """Pay what was approved, and take it back when a later step fails."""
    (asked,) = await desk.approvals(run_id="refund-3")
    await decide(desk, asked, "ann")
    await decide(desk, asked, "bob")


async def main() -> None:
    """Ask for three refunds."""
    clock = VirtualClock(dt.datetime(2026, 11, 2, 9, tzinfo=dt.UTC))
    with tempfile.TemporaryDirectory() as folder:
        async with Coordinator(f"sqlite:///{folder}/refunds.db", clock=clock) as desk:
            for number, story in enumerate((approve_together, escalate, undo), 1):
                order = f"order-{number}"
                run = await desk.start(refund, order, 100, "eve", id=f"refund-{number}")
                await desk.run_until_idle()
                print(f"{order}: eve asks for 100")
                await story(desk, clock)
                await desk.run_until_idle()
                status = await run.status()
                said = await run.result() if status == "completed" else "nothing is paid"
                print(f"  {status}: {said}; the books say {BOOKED.get(order, 0)}")


if __name__ == "__main__":
    asyncio.run(main())

# ruff: noqa: D103 - the steps say what they do
