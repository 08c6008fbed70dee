"""The courier service: it books deliveries and cancels them.

It goes nowhere near postcodes that begin with XX. Those that begin with ZE are islands: the delivery is in
the book at once, but the answer waits for the ferry's timetable, longer than most callers do.
"""

from collections.abc import Mapping

from sqlalchemy import Column, Connection, Text, insert, update

from participant import Answer, Participant, effects_table, refusal, text
from server import serve

NOT_SERVED = "XX"
ISLANDS = "ZE"
FERRY_SECONDS = 30.0
DELIVERIES = effects_table("deliveries", Column("postcode", Text, nullable=False))


class Courier(Participant):
    """Books deliveries and cancels them."""

    name = "courier"
    collection = "deliveries"
    effects = DELIVERIES
    what = DELIVERIES.c.postcode
    standing = "booked"

    def perform(self, db: Connection, key: str, request: Mapping[str, object]) -> Answer:
        """Book a delivery, if the courier goes there."""
        order_id, postcode = text(request, "order_id"), text(request, "postcode").upper()
        if postcode.startswith(NOT_SERVED):
            error = f"the courier doesn't go to {postcode}"
            return refusal(422, "address_not_served", order_id, error)
        booked = {"key": key, "order_id": order_id, "postcode": postcode}
        db.execute(insert(DELIVERIES).values(**booked, state="booked"))
        note = f"booked a delivery to {postcode} for order {order_id}"
        if postcode.startswith(ISLANDS):
            return Answer(201, {"id": key}, f"{note}; looking for a ferry", FERRY_SECONDS)
        return Answer(201, {"id": key}, note)

    def withdraw(self, db: Connection, key: str) -> str | None:
        """Cancel the delivery."""
        booked = (DELIVERIES.c.key == key) & (DELIVERIES.c.state == "booked")
        cancel = update(DELIVERIES).where(booked).values(state="cancelled").returning(DELIVERIES)
        row = db.execute(cancel).one_or_none()
        return f"cancelled the delivery to {row.postcode} of order {row.order_id}" if row else None


if __name__ == "__main__":
    serve(Courier)
