"""A refund desk: an agent that looks orders up and pays money back.

Above a limit people approve each refund; at the end they accept what it did, or all of it is undone.
`amends worker examples/refund_agent/refund_desk.py` serves it. The services of the shop are at
`SHOP_PAYMENTS`, `SHOP_COURIER` and `SHOP_REFUNDS`, the model at `OPENAI_BASE_URL`.
"""

import os
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any

import httpx
from pydantic import BaseModel, Field

from amends.agents import Agent, ApprovalPolicy, Budget, OpenAIModel, tool
from amends.sagas import Retry, Undo, http

LIMIT = Decimal("100.00")
"""What the agent may pay back without asking anybody, for each refund."""
PATIENT = Retry(attempts=5, wait=timedelta(seconds=0.5))
STUBBORN = Retry(attempts=20, wait=timedelta(seconds=0.5))
Amount = Annotated[Decimal, Field(gt=0, max_digits=9, decimal_places=2)]


class Order(BaseModel):
    """What the shop's services have in their books of an order; amounts are in euros."""

    order: str
    paid: Decimal
    refunded: Decimal
    delivered_to: list[str]


async def call(method: str, service: str, path: str, request: dict[str, str] | None = None) -> Any:
    """Call one of the shop's services, under the key of the step."""
    async with httpx.AsyncClient(timeout=10) as client:
        url = f"{os.environ[f'SHOP_{service}']}/{path}"
        answer = await http.call(client, method, url, json=request, no_effect=http.REFUSALS)
        return answer.json()


async def standing(service: str, collection: str, order: str) -> list[str]:
    """Read what stands in a service's book of an order."""
    book = await call("GET", service, collection)
    return [entry["what"] for entry in book[collection] if entry["order_id"] == order and entry["stands"]]


async def total(service: str, collection: str, order: str) -> Decimal:
    """Add up what stands in a service's book of an order."""
    return sum(map(Decimal, await standing(service, collection, order)), Decimal(0))


@tool(effect="read", retry=PATIENT)
async def find_order(order: str) -> Order:
    """Look an order up: what was paid, what was refunded already, and where it was delivered.

    Args:
        order: the order's number, such as 1001
    """
    return Order(
        order=order,
        paid=await total("PAYMENTS", "charges", order),
        refunded=await total("REFUNDS", "refunds", order),
        delivered_to=await standing("COURIER", "deliveries", order),
    )


@tool(
    retry=PATIENT,
    approval=ApprovalPolicy(
        when=lambda **given: given["amount"] > LIMIT,
        title="Refund {amount} for order {order}? {reason}",
    ),
)
async def refund(order: str, amount: Amount, reason: str) -> str:
    """Pay money back to the customer. At most what was paid; larger amounts wait for a person's approval.

    Args:
        order: the order's number
        amount: in euros, such as 49.90
        reason: in one sentence, for whoever approves it
    """
    paid = await total("PAYMENTS", "charges", order)
    request = {"order_id": order, "amount": f"{amount:.2f}", "paid": f"{paid:.2f}"}
    await call("POST", "REFUNDS", "refunds", request)
    return f"{amount:.2f} is paid back for order {order}"


@refund.compensation(retry=STUBBORN)
async def call_back(undo: Undo[str], order: str, amount: Amount, reason: str) -> None:
    """Call the money back, whether or not it was paid: its name is the key that the step used."""
    await call("DELETE", "REFUNDS", f"refunds/{undo.forward_key}")


refund_desk = Agent(
    "refund_desk",
    model=OpenAIModel(
        os.environ.get("AMENDS_EXAMPLE_MODEL", "gpt-5-mini"),
        base_url=os.environ.get("OPENAI_BASE_URL") or None,
        api_key=os.environ.get("OPENAI_API_KEY") or None,
    ),
    instructions=(
        "You work at the refund desk of a shop. Look the order up before you do anything. Pay back what the "
        "customer asks for if the order was paid and the reason is sound, never more than was paid. "
        "Then answer the customer in two or three sentences."
    ),
    tools=[find_order, refund],
    budget=Budget(turns=12, tool_calls=12),
    review=ApprovalPolicy(title="Accept what the refund desk did?"),
)
