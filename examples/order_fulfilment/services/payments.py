"""The payment service: it charges cards and refunds them.

As with every payment provider, some card numbers are for testing: one is declined, and the bank behind
another takes its time, so that the charge is in the book at once while its answer lets the caller wait.
"""

import re
from collections.abc import Mapping

from sqlalchemy import Column, Connection, Text, insert, update

from participant import Answer, BadRequest, Participant, effects_table, refusal, text
from server import serve

DECLINED_CARD = "4000000000000002"
SLOW_CARD = "4000000000003220"
SLOW_SECONDS = 2.0
CHARGES = effects_table(
    "charges",
    Column("card", Text, nullable=False, comment="the last four digits"),
    Column("amount", Text, nullable=False, comment="decimal, such as 49.90"),
)


class Payments(Participant):
    """Charges cards and refunds them."""

    name = "payments"
    collection = "charges"
    effects = CHARGES
    what = CHARGES.c.amount
    standing = "charged"

    def perform(self, db: Connection, key: str, request: Mapping[str, object]) -> Answer:
        """Charge the card, unless the bank says no."""
        order_id, card, amount = text(request, "order_id"), _card(request), _amount(request)
        ending = card[-4:]
        if card == DECLINED_CARD:
            error = f"the bank declined the card ending in {ending}"
            return refusal(402, "card_declined", order_id, error)
        charged = {"key": key, "order_id": order_id, "card": ending, "amount": amount}
        db.execute(insert(CHARGES).values(**charged, state="charged"))
        note = f"charged {amount} for order {order_id} to the card ending in {ending}"
        if card == SLOW_CARD:
            return Answer(201, {"id": key}, f"{note}; the bank is slow to confirm", SLOW_SECONDS)
        return Answer(201, {"id": key}, note)

    def withdraw(self, db: Connection, key: str) -> str | None:
        """Give the money back."""
        charged = (CHARGES.c.key == key) & (CHARGES.c.state == "charged")
        refund = update(CHARGES).where(charged).values(state="refunded").returning(CHARGES)
        row = db.execute(refund).one_or_none()
        return f"refunded {row.amount} of order {row.order_id}" if row else None


def _card(request: Mapping[str, object]) -> str:
    card = text(request, "card").replace(" ", "")
    if not re.fullmatch(r"[0-9]{12,19}", card):
        raise BadRequest("card must be a number of 12 to 19 digits")
    return card


def _amount(request: Mapping[str, object]) -> str:
    amount = text(request, "amount")
    if not re.fullmatch(r"[0-9]{1,7}\.[0-9]{2}", amount) or float(amount) == 0:
        raise BadRequest(f"amount must be above zero with two decimal places, such as 49.90, not {amount}")
    return amount


if __name__ == "__main__":
    serve(Payments)
