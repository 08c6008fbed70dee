"""The courier service: it books deliveries and cancels them.

It goes nowhere near postcodes that begin with XX. Those that begin with ZE are islands: the delivery is in
the book at once, but the answer waits for the ferry's timetable, longer than most callers do.
"""

import sqlite3
from collections.abc import Mapping

from participant import Answer, Participant, refusal, text
from server import serve

NOT_SERVED = "XX"
ISLANDS = "ZE"
FERRY_SECONDS = 30.0
CANCEL = "UPDATE deliveries SET state = 'cancelled' WHERE key = ? AND state = 'booked' RETURNING *"


class Courier(Participant):
    """Books deliveries and cancels them."""

    name = "courier"
    collection = "deliveries"
    schema = """
        CREATE TABLE IF NOT EXISTS deliveries (
            key      TEXT PRIMARY KEY,
            order_id TEXT NOT NULL,
            postcode TEXT NOT NULL,
            state    TEXT NOT NULL CHECK (state IN ('booked', 'cancelled'))
        );
    """
    listing = """
        SELECT key, order_id, postcode AS what, state, state = 'booked' AS stands, asked
        FROM deliveries JOIN calls USING (key) ORDER BY deliveries.rowid
    """

    def perform(self, db: sqlite3.Connection, key: str, request: Mapping[str, object]) -> Answer:
        """Book a delivery, if the courier goes there."""
        order_id, postcode = text(request, "order_id"), text(request, "postcode").upper()
        if postcode.startswith(NOT_SERVED):
            error = f"the courier doesn't go to {postcode}"
            return refusal(422, "address_not_served", order_id, error)
        db.execute("INSERT INTO deliveries VALUES (?, ?, ?, 'booked')", (key, order_id, postcode))
        note = f"booked a delivery to {postcode} for order {order_id}"
        if postcode.startswith(ISLANDS):
            return Answer(201, {"id": key}, f"{note}; looking for a ferry", FERRY_SECONDS)
        return Answer(201, {"id": key}, note)

    def withdraw(self, db: sqlite3.Connection, key: str) -> str | None:
        """Cancel the delivery."""
        row = db.execute(CANCEL, (key,)).fetchone()
        return f"cancelled the delivery to {row['postcode']} of order {row['order_id']}" if row else None


if __name__ == "__main__":
    serve(Courier)
