"""The mail service: it sends receipts. What is sent can't be taken back."""

import sqlite3
from collections.abc import Mapping

from participant import Answer, BadRequest, Participant, text
from server import serve


class Mail(Participant):
    """Sends receipts; what is sent can't be taken back."""

    name = "mail"
    collection = "receipts"
    schema = """
        CREATE TABLE IF NOT EXISTS receipts (
            key       TEXT PRIMARY KEY,
            order_id  TEXT NOT NULL,
            recipient TEXT NOT NULL,
            message   TEXT NOT NULL
        );
    """
    listing = """
        SELECT key, order_id, recipient AS what, 'sent' AS state, 1 AS stands, asked
        FROM receipts JOIN calls USING (key) ORDER BY receipts.rowid
    """

    def perform(self, db: sqlite3.Connection, key: str, request: Mapping[str, object]) -> Answer:
        """Send a receipt."""
        order_id, recipient = text(request, "order_id"), text(request, "recipient")
        message = text(request, "message")
        if "@" not in recipient:
            raise BadRequest(f"recipient must be an e-mail address, not {recipient}")
        db.execute("INSERT INTO receipts VALUES (?, ?, ?, ?)", (key, order_id, recipient, message))
        return Answer(201, {"id": key}, f"sent the receipt of order {order_id} to {recipient}")

    def withdraw(self, db: sqlite3.Connection, key: str) -> str | None:
        """Refuse where a receipt was sent: it stays sent."""
        if db.execute("SELECT 1 FROM receipts WHERE key = ?", (key,)).fetchone():
            raise BadRequest("a receipt that is sent can't be taken back")
        return None


if __name__ == "__main__":
    serve(Mail)
