"""Orders, and the file that they are read from."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be one line of printable text")
    return text


Line = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_one_line)]


class Order(BaseModel):
    """What a customer wants, how it is paid and where it goes; `note` is for whoever reads the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")]
    note: Line | None = None
    article: Line
    quantity: Annotated[int, Field(gt=0, le=1000)]
    amount: Annotated[Decimal, Field(gt=0, max_digits=9, decimal_places=2)]
    card: Annotated[str, Field(pattern=r"^([0-9] ?){12,19}$")]
    postcode: Line
    email: Annotated[Line, Field(pattern=r"^\S+@\S+$")]


class OrdersInvalid(Exception):
    """The orders file can't be used; the message says in one line where and why."""


def read_orders(path: Path) -> list[Order]:
    """Read the orders in a JSON file. Raises `OrdersInvalid` for anything but a list of orders."""
    orders: dict[str, Order] = {}
    for number, entry in enumerate(_entries(path), start=1):
        order = _order(entry, f"{path}: order {number}")
        if order.id in orders:
            raise OrdersInvalid(f"{path}: order {number}: id: {order.id!r} is another order's id already")
        orders[order.id] = order
    return list(orders.values())


def _entries(path: Path) -> list[object]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise OrdersInvalid(f"{path} can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise OrdersInvalid(f"{path} isn't JSON: {error}") from error
    if not isinstance(entries, list) or not entries:
        raise OrdersInvalid(f"{path} must hold a list of orders, and at least one")
    return entries


def _order(entry: object, where: str) -> Order:
    try:
        return Order.model_validate(entry)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = "".join(f": {name}" for name in first["loc"])
        named = f" ({entry['id']})" if isinstance(entry, dict) and "id" in entry else ""
        raise OrdersInvalid(f"{where}{named}{field}: {first['msg']}, not {first['input']!r}") from error
