"""The stock service: it reserves articles and releases them again."""

import sqlite3
from collections.abc import Mapping

from participant import Answer, Participant, refusal, text, whole_number
from server import serve

RELEASE = "UPDATE reservations SET state = 'released' WHERE key = ? AND state = 'reserved' RETURNING *"


class Stock(Participant):
    """Reserves articles and releases them again."""

    name = "stock"
    collection = "reservations"
    schema = """
        CREATE TABLE IF NOT EXISTS shelves (
            article TEXT PRIMARY KEY,
            free    INTEGER NOT NULL CHECK (free >= 0)
        );
        INSERT OR IGNORE INTO shelves VALUES ('kettle', 20), ('lamp', 20), ('teapot', 3), ('clock', 0);
        CREATE TABLE IF NOT EXISTS reservations (
            key      TEXT PRIMARY KEY,
            order_id TEXT    NOT NULL,
            article  TEXT    NOT NULL REFERENCES shelves,
            quantity INTEGER NOT NULL,
            state    TEXT    NOT NULL CHECK (state IN ('reserved', 'released'))
        );
    """
    listing = """
        SELECT key, order_id, quantity || ' x ' || article AS what, state, state = 'reserved' AS stands, asked
        FROM reservations JOIN calls USING (key) ORDER BY reservations.rowid
    """

    def perform(self, db: sqlite3.Connection, key: str, request: Mapping[str, object]) -> Answer:
        """Take the articles from the shelf, if there are enough."""
        order_id, article = text(request, "order_id"), text(request, "article")
        quantity = whole_number(request, "quantity")
        shelf = db.execute("SELECT free FROM shelves WHERE article = ?", (article,)).fetchone()
        if shelf is None or shelf["free"] < quantity:
            error = f"{shelf['free'] if shelf else 'no'} {article} in stock, {quantity} asked for"
            return refusal(409, "out_of_stock", order_id, error)
        db.execute("UPDATE shelves SET free = free - ? WHERE article = ?", (quantity, article))
        record = (key, order_id, article, quantity)
        db.execute("INSERT INTO reservations VALUES (?, ?, ?, ?, 'reserved')", record)
        return Answer(201, {"id": key}, f"reserved {quantity} x {article} for order {order_id}")

    def withdraw(self, db: sqlite3.Connection, key: str) -> str | None:
        """Put the articles back."""
        row = db.execute(RELEASE, (key,)).fetchone()
        if row is None:
            return None
        db.execute("UPDATE shelves SET free = free + ? WHERE article = ?", (row["quantity"], row["article"]))
        return f"released {row['quantity']} x {row['article']} of order {row['order_id']}"


if __name__ == "__main__":
    serve(Stock)
