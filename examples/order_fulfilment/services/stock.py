"""The stock service: it reserves articles and releases them again."""

from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import CheckConstraint, Column, Connection, Integer, Table, Text, cast, insert, select, update

from participant import METADATA, Answer, Participant, effects_table, refusal, text, whole_number
from server import serve

ON_THE_SHELF = {"kettle": 20, "lamp": 20, "teapot": 3, "clock": 0}
SHELVES = Table(
    "shelves",
    METADATA,
    Column("article", Text, primary_key=True),
    Column("free", Integer, CheckConstraint("free >= 0"), nullable=False),
)
RESERVATIONS = effects_table(
    "reservations",
    Column("article", Text, nullable=False),
    Column("quantity", Integer, nullable=False),
)


class Stock(Participant):
    """Reserves articles and releases them again."""

    name = "stock"
    collection = "reservations"
    effects = RESERVATIONS
    what = cast(RESERVATIONS.c.quantity, Text) + " x " + RESERVATIONS.c.article
    standing = "reserved"

    def __init__(self, book: Path) -> None:
        super().__init__(book)
        shelves = [{"article": article, "free": free} for article, free in ON_THE_SHELF.items()]
        with self._engine.begin() as db:
            db.execute(insert(SHELVES).prefix_with("OR IGNORE"), shelves)

    def perform(self, db: Connection, key: str, request: Mapping[str, object]) -> Answer:
        """Take the articles from the shelf, if there are enough."""
        order_id, article = text(request, "order_id"), text(request, "article")
        quantity = whole_number(request, "quantity")
        free = db.execute(select(SHELVES.c.free).where(SHELVES.c.article == article)).scalar()
        if free is None or free < quantity:
            error = f"{'no' if free is None else free} {article} in stock, {quantity} asked for"
            return refusal(409, "out_of_stock", order_id, error)
        self._put(db, article, -quantity)
        reserved = {"key": key, "order_id": order_id, "article": article, "quantity": quantity}
        db.execute(insert(RESERVATIONS).values(**reserved, state="reserved"))
        return Answer(201, {"id": key}, f"reserved {quantity} x {article} for order {order_id}")

    def withdraw(self, db: Connection, key: str) -> str | None:
        """Put the articles back."""
        reserved = (RESERVATIONS.c.key == key) & (RESERVATIONS.c.state == "reserved")
        release = update(RESERVATIONS).where(reserved).values(state="released").returning(RESERVATIONS)
        row = db.execute(release).one_or_none()
        if row is None:
            return None
        self._put(db, row.article, row.quantity)
        return f"released {row.quantity} x {row.article} of order {row.order_id}"

    @staticmethod
    def _put(db: Connection, article: str, quantity: int) -> None:
        shelf = update(SHELVES).where(SHELVES.c.article == article)
        db.execute(shelf.values(free=SHELVES.c.free + quantity))


if __name__ == "__main__":
    serve(Stock)
