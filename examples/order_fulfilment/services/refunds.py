"""The refund service: it pays money back to whoever has paid an order, and can call that back."""

import re
from collections.abc import Mapping
from decimal import Decimal

from sqlalchemy import Column, Connection, Text, insert, select, update

from participant import Answer, BadRequest, Participant, effects_table, refusal, text
from server import serve

REFUNDS = effects_table("refunds", Column("amount", Text, nullable=False, comment="decimal, such as 49.90"))


class Refunds(Participant):
    """Pays money back, and calls it back."""

    name = "refunds"
    collection = "refunds"
    effects = REFUNDS
    what = REFUNDS.c.amount
    standing = "paid"

    def perform(self, db: Connection, key: str, request: Mapping[str, object]) -> Answer:
        """Pay the money back, unless it were more than the customer has paid."""
        order_id, amount, paid = (
            text(request, "order_id"),
            _amount(request, "amount"),
            _amount(request, "paid"),
        )
        book = select(REFUNDS.c.amount).where(REFUNDS.c.order_id == order_id, REFUNDS.c.state == "paid")
        left = Decimal(paid) - sum(map(Decimal, db.scalars(book)))
        if Decimal(amount) > left:
            return refusal(409, "more_than_paid", order_id, f"of {paid} that were paid, {left} are left")
        db.execute(insert(REFUNDS).values(key=key, order_id=order_id, amount=amount, state="paid"))
        return Answer(201, {"id": key}, f"paid {amount} back for order {order_id}")

    def withdraw(self, db: Connection, key: str) -> str | None:
        """Call the money back."""
        paid = (REFUNDS.c.key == key) & (REFUNDS.c.state == "paid")
        row = db.execute(
            update(REFUNDS).where(paid).values(state="called back").returning(REFUNDS)
        ).one_or_none()
        return f"called {row.amount} of order {row.order_id} back" if row else None


def _amount(request: Mapping[str, object], field: str) -> str:
    amount = text(request, field)
    if not re.fullmatch(r"[0-9]{1,7}\.[0-9]{2}", amount):
        raise BadRequest(f"{field} must have two decimal places, such as 49.90, not {amount}")
    return amount


if __name__ == "__main__":
    serve(Refunds)
