"""Budgets: what an agent may use up, counted from the journal (A12)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from amends.agents.approval_policy import ApprovalPolicy
from amends.agents.model import ModelAnswer
from amends.agents.prices import Price, cost, price_of
from amends.sagas import checked
from amends.sagas.errors import DefinitionError


class Exhausted(StrEnum):
    """What follows when a budget is used up."""

    FAIL = "fail"
    """The agent fails, and what it did is undone."""
    STOP = "stop"
    """The agent ends with what the model said last; only for text."""
    ASK = "ask"
    """People are asked for as much again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What an agent may use up; None is no bound. Checked before each call of the model and of tools.

    `turns` are calls of the model, `cost` is US dollars, `time` is wall time from the agent's beginning,
    pauses included. What sub-agents use up counts as well. `exhausted` is "fail", "stop" or "ask"; `ask` says
    how people are asked then. Raises `DefinitionError`.
    """

    turns: int | None = None
    tool_calls: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: Decimal | None = None
    time: dt.timedelta | None = None
    exhausted: Exhausted | str = Exhausted.FAIL
    ask: ApprovalPolicy = field(default_factory=ApprovalPolicy)

    def __post_init__(self) -> None:
        for name in COUNTED:
            if (given := getattr(self, name)) is not None:
                checked.count(given, f"Budget: {name}", DefinitionError)
        if self.time is not None:
            checked.duration(self.time, "Budget: time", DefinitionError)
        price: Any = self.cost
        if price is not None and not (isinstance(price, Decimal) and price > 0):
            raise DefinitionError(f"Budget: cost={price!r} is a Decimal above 0, such as Decimal('0.50')")
        if self.exhausted not in list(Exhausted):
            known = ", ".join(repr(str(each)) for each in Exhausted)
            raise DefinitionError(f"Budget: exhausted={self.exhausted!r} is one of {known}")


COUNTED = ("turns", "tool_calls", "input_tokens", "output_tokens")


class Ledger:
    """What was used up so far, of an agent's budget and of those above it. Replay makes the same one again.

    `share` is how many times the budget may be used up: people may have given more.
    """

    def __init__(
        self, budget: Budget, begun: dt.datetime, above: Ledger | None, prices: Mapping[str, Price] | None
    ) -> None:
        self.budget = budget
        self.begun = begun
        self.above = above
        self.prices = prices
        self.share = 1
        self.used: dict[str, Any] = dict.fromkeys(COUNTED, 0)
        self.used["cost"] = Decimal(0)

    def asked(self, answer: ModelAnswer, model: str) -> None:
        """Note the answer of the model that was asked; a server may call it otherwise."""
        usage = answer.usage
        self._add("turns", 1)
        self._add("input_tokens", usage.input_tokens)
        self._add("output_tokens", usage.output_tokens)
        name = answer.model if self.price_of(answer.model) is not None else model
        prices = None if (price := self.price_of(name)) is None else {name: price}
        self._add("cost", cost(name, usage, prices=prices) or Decimal(0))

    def price_of(self, model: str) -> Price | None:
        """Give what a model costs, as this agent or one above it says; None where nobody knows."""
        found = price_of(model, prices=self.prices)
        return found if found is not None or self.above is None else self.above.price_of(model)

    @property
    def counts_cost(self) -> bool:
        """Whether this agent's budget, or that of one above it, bounds what may be spent."""
        return self.budget.cost is not None or (self.above is not None and self.above.counts_cost)

    def called(self) -> None:
        """Note a tool's call."""
        self._add("tool_calls", 1)

    def _add(self, name: str, amount: Any) -> None:
        self.used[name] += amount
        if self.above is not None:
            self.above._add(name, amount)  # noqa: SLF001 - its own kind

    def exhausted(self, now: dt.datetime, *names: str) -> tuple[Ledger, str] | None:
        """Tell which of the budgets is used up, and whose: this agent's, or one above it."""
        for name in names:
            most = getattr(self.budget, name)
            used = now - self.begun if name == "time" else self.used[name]
            if most is not None and used >= most * self.share:
                return self, f"the budget of {most * self.share} {WORDS.get(name, name)} is used up"
        return None if self.above is None else self.above.exhausted(now, *names)


WORDS = {
    "input_tokens": "input tokens",
    "output_tokens": "output tokens",
    "tool_calls": "calls of tools",
    "cost": "US dollars",
    "time": "of wall time",
}
BEFORE_MODEL = ("turns", "input_tokens", "output_tokens", "cost", "time")
BEFORE_TOOL = ("tool_calls", "time")
