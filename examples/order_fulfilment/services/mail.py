"""The mail service: it sends receipts. What is sent can't be taken back."""

from collections.abc import Mapping

from sqlalchemy import Column, Connection, Text, insert, select

from participant import Answer, BadRequest, Participant, effects_table, text
from server import serve

RECEIPTS = effects_table(
    "receipts",
    Column("recipient", Text, nullable=False),
    Column("message", Text, nullable=False),
)


class Mail(Participant):
    """Sends receipts; what is sent can't be taken back."""

    name = "mail"
    collection = "receipts"
    effects = RECEIPTS
    what = RECEIPTS.c.recipient
    standing = "sent"

    def perform(self, db: Connection, key: str, request: Mapping[str, object]) -> Answer:
        """Send a receipt."""
        order_id, recipient = text(request, "order_id"), text(request, "recipient")
        message = text(request, "message")
        if "@" not in recipient:
            raise BadRequest(f"recipient must be an e-mail address, not {recipient}")
        sent = {"key": key, "order_id": order_id, "recipient": recipient, "message": message}
        db.execute(insert(RECEIPTS).values(**sent, state="sent"))
        return Answer(201, {"id": key}, f"sent the receipt of order {order_id} to {recipient}")

    def withdraw(self, db: Connection, key: str) -> str | None:
        """Refuse where a receipt was sent: it stays sent."""
        if db.execute(select(RECEIPTS.c.number).where(RECEIPTS.c.key == key)).one_or_none():
            raise BadRequest("a receipt that is sent can't be taken back")
        return None


if __name__ == "__main__":
    serve(Mail)
