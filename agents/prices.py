"""What an answer costs, by the list prices of its model.

The table holds OpenAI's public list prices in US dollars for a million tokens, standard tier, as they stood
at the end of 2025. Prices change, and an account may have others: say in `prices=` what is true for you.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

from amends.agents.model import Usage
from amends.sagas.errors import InputInvalid

__all__ = ["PRICES", "Price", "cost", "price_of"]

MILLION: Final = Decimal(1_000_000)
DATED: Final = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8}|\d{4}|latest)$")


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens: of input, of output (reasoning is output), of input from a cache.

    `cached` left out is the price of input. Raises `InputInvalid` for a price below nought.
    """

    input: Decimal
    output: Decimal
    cached: Decimal | None = None

    def __post_init__(self) -> None:
        prices: tuple[Any, ...] = (self.input, self.output, self.cached)
        for price in prices:
            if price is not None and not (isinstance(price, Decimal) and price.is_finite() and price >= 0):
                raise InputInvalid(f"Price: {price!r} must be a Decimal, 0 or more: Decimal('2.50')")


def _price(input: str, cached: str | None, output: str) -> Price:
    return Price(Decimal(input), Decimal(output), None if cached is None else Decimal(cached))


PRICES: Final[Mapping[str, Price]] = MappingProxyType(
    {
        "gpt-3.5-turbo": _price("0.50", None, "1.50"),
        "gpt-4": _price("30", None, "60"),
        "gpt-4-turbo": _price("10", None, "30"),
        "gpt-4.1": _price("2", "0.50", "8"),
        "gpt-4.1-mini": _price("0.40", "0.10", "1.60"),
        "gpt-4.1-nano": _price("0.10", "0.025", "0.40"),
        "gpt-4o": _price("2.50", "1.25", "10"),
        "gpt-4o-mini": _price("0.15", "0.075", "0.60"),
        "gpt-5": _price("1.25", "0.125", "10"),
        "gpt-5-mini": _price("0.25", "0.025", "2"),
        "gpt-5-nano": _price("0.05", "0.005", "0.40"),
        "gpt-5-pro": _price("15", None, "120"),
        "gpt-5.1": _price("1.25", "0.125", "10"),
        "gpt-5.2": _price("1.75", "0.175", "14"),
        "o1": _price("15", "7.50", "60"),
        "o3": _price("2", "0.50", "8"),
        "o3-mini": _price("1.10", "0.55", "4.40"),
        "o4-mini": _price("1.10", "0.275", "4.40"),
    }
)
"""List prices by model; see the module's docstring for what they are."""


def price_of(model: str, *, prices: Mapping[str, Price] | None = None) -> Price | None:
    """Give a model's price, or None where nobody knows it.

    `prices` is asked before the table; a name in it that ends with `*` stands for all that begin so, the
    longest first. A date or `-latest` at the end of a model's name and `openai/` before it don't matter.
    """
    given = prices or {}
    bare = model.removeprefix("openai/")
    undated = DATED.sub("", bare)
    for name in dict.fromkeys((model, bare, undated)):
        if name in given:
            return given[name]
    patterns = [name for name in given if name.endswith("*") and model.startswith(name[:-1])]
    if patterns:
        return given[max(patterns, key=len)]
    return PRICES.get(bare) or PRICES.get(undated)


def cost(model: str, usage: Usage, *, prices: Mapping[str, Price] | None = None) -> Decimal | None:
    """Give what the tokens of an answer cost, in US dollars; None for a model whose price nobody knows.

    >>> cost("gpt-4o-2024-08-06", Usage(input_tokens=1_000, output_tokens=100))
    Decimal('0.0035')
    """
    price = price_of(model, prices=prices)
    if price is None:
        return None
    cached = min(usage.cached_tokens, usage.input_tokens)
    kept = price.input if price.cached is None else price.cached
    whole = price.input * (usage.input_tokens - cached) + kept * cached + price.output * usage.output_tokens
    return (whole / MILLION).normalize()
