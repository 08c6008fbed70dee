"""What answers cost: list prices by model, the caller's own before them, nothing for the unknown."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from amends.agents import PRICES, Price, Usage, cost, price_of
from amends.sagas import InputInvalid
from tests.agents.asking import PATIENT

tokens = st.integers(0, 10**9)


def test_cached_tokens_cost_less() -> None:
    usage = Usage(input_tokens=1_000_000, output_tokens=100_000, cached_tokens=400_000)
    assert cost("gpt-4.1", usage) == Decimal("0.6") * 2 + Decimal("0.4") / 2 + Decimal("0.1") * 8


@pytest.mark.parametrize(
    "name", ["gpt-4o", "gpt-4o-2024-08-06", "gpt-4o-latest", "openai/gpt-4o", "openai/gpt-4o-2024-11-20"]
)
def test_dates_and_prefixes_of_a_name_do_not_matter(name: str) -> None:
    assert price_of(name) == PRICES["gpt-4o"]


@pytest.mark.parametrize(
    "name", ["gpt-4o-audio-preview", "gpt-5-codex-max", "ft:gpt-4o:me::1", "llama3", "", "gpt"]
)
def test_a_model_that_is_only_named_like_another_has_no_price(name: str) -> None:
    assert price_of(name) is None
    assert cost(name, Usage(1, 1)) is None


def test_the_callers_prices_come_first_and_the_longest_beginning_wins() -> None:
    free, dear = Price(Decimal(0), Decimal(0)), Price(Decimal(9), Decimal(9))
    prices = {"qwen*": dear, "qwen3*": free, "gpt-4o": dear, "gpt-4.1-2025-04-14": dear}
    assert price_of("qwen3:8b", prices=prices) is free
    assert price_of("qwen2", prices=prices) is dear
    assert price_of("gpt-4o-2024-08-06", prices=prices) is dear
    assert price_of("gpt-4.1-2025-04-14", prices=prices) is dear
    assert price_of("gpt-4.1", prices=prices) == PRICES["gpt-4.1"]
    assert cost("qwen3:8b", Usage(10**6, 10**6), prices=prices) == 0


@pytest.mark.parametrize("price", [Decimal(-1), Decimal("nan"), 2.5, "2.50"])
def test_a_price_that_is_none_is_refused(price: Any) -> None:
    with pytest.raises(InputInvalid):
        Price(price, Decimal(1))


@PATIENT
@drawn(st.sampled_from(sorted(PRICES)), tokens, tokens, tokens)
def test_no_answer_costs_less_than_nothing_and_more_tokens_never_less(
    name: str, given: int, made: int, cached: int
) -> None:
    once, more = cost(name, Usage(given, made, cached)), cost(name, Usage(given + 1, made + 1, cached))
    assert once is not None
    assert more is not None
    assert 0 <= once <= more
