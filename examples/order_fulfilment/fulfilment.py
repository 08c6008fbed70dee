"""The saga: reserve the stock, charge the card, book the courier, send the receipt, or make amends."""

from datetime import timedelta

from pydantic import BaseModel

from amends.sagas import Retry, Undo, saga, step
from orders import Order
from remote import AddressNotServed, CardDeclined, OutOfStock, delete, post

PATIENT = Retry(attempts=5, wait=timedelta(seconds=0.5))
STUBBORN = Retry(attempts=20, wait=timedelta(seconds=0.5))
BRIEF = Retry(attempts=2, wait=timedelta(seconds=0.5))


class Fulfilled(BaseModel):
    """What was done for an order: what each service calls it."""

    reservation: str
    charge: str
    delivery: str
    receipt: str


@step(retry=PATIENT, no_effect=(OutOfStock,))
async def reserve_stock(order: Order) -> str:
    """Keep the articles for this order."""
    request = {"order_id": order.id, "article": order.article, "quantity": order.quantity}
    return await post("reservations", request)


@reserve_stock.compensation(retry=STUBBORN)
async def release_stock(undo: Undo[str], order: Order) -> None:
    """Put them back on the shelf."""
    await delete("reservations", undo)


@step(retry=PATIENT, no_effect=(CardDeclined,))
async def charge_card(order: Order) -> str:
    """Take the money."""
    request = {"order_id": order.id, "card": order.card, "amount": f"{order.amount:.2f}"}
    return await post("charges", request)


@charge_card.compensation(retry=STUBBORN)
async def refund_card(undo: Undo[str], order: Order) -> None:
    """Give it back."""
    await delete("charges", undo)


@step(retry=BRIEF, timeout=timedelta(seconds=1), no_effect=(AddressNotServed,))
async def book_courier(order: Order) -> str:
    """Have it fetched; the courier gets a second to answer, twice."""
    request = {"order_id": order.id, "postcode": order.postcode}
    return await post("deliveries", request)


@book_courier.compensation(retry=STUBBORN)
async def cancel_courier(undo: Undo[str], order: Order) -> None:
    """Call the courier off, also where nobody knows whether it was booked."""
    await delete("deliveries", undo)


@step(retry=PATIENT, effect="irreversible")
async def send_receipt(order: Order, charge: str) -> str:
    """Tell the customer. It comes last, because what is sent can't be taken back."""
    message = f"{order.quantity} x {order.article} on the way, {order.amount:.2f} paid ({charge})."
    request = {"order_id": order.id, "recipient": order.email, "message": message}
    return await post("receipts", request)


@saga
async def fulfil_order(order: Order) -> Fulfilled:
    """Do it all; whatever fails on the way, everything done before is undone."""
    reservation = await reserve_stock(order)
    charge = await charge_card(order)
    delivery = await book_courier(order)
    receipt = await send_receipt(order, charge)
    return Fulfilled(reservation=reservation, charge=charge, delivery=delivery, receipt=receipt)
