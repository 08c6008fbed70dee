"""What calls of models add up to, by OpenTelemetry's conventions for generative AI; and what they cost.

The names, attributes and bounds are those of semantic-conventions-genai 0.1.0, which are in development.
"""

from __future__ import annotations

from typing import Final

from opentelemetry.context import Context
from opentelemetry.metrics import Meter

from amends.tracing.span_data import Attributes

TOKENS: Final = tuple(4**power for power in range(14))
SECONDS: Final = tuple(2**power / 100 for power in range(14))
CALL: Final = (
    "gen_ai.operation.name",
    "gen_ai.provider.name",
    "gen_ai.request.model",
    "gen_ai.response.model",
)
TYPES: Final = {"input": "gen_ai.usage.input_tokens", "output": "gen_ai.usage.output_tokens"}


class ModelMetrics:
    """The instruments for calls of models."""

    def __init__(self, meter: Meter) -> None:
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            "{token}",
            "Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=TOKENS,
        )
        self._durations = meter.create_histogram(
            "gen_ai.client.operation.duration",
            "s",
            "GenAI operation duration.",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self._cost = meter.create_counter(
            "amends.model.cost",
            "{USD}",
            "What calls of models have cost, in US dollars, where it is known.",
        )

    def told(self, said: Attributes, seconds: float, context: Context) -> None:
        """Count an attempt, if it asked a model; `said` are its span's attributes."""
        if said.get("gen_ai.operation.name") != "chat":
            return
        call = {name: said[name] for name in CALL if name in said}
        error = said.get("error.type")
        self._durations.record(seconds, call if error is None else {**call, "error.type": error}, context)
        for kind, name in TYPES.items():
            count = said.get(name)
            if isinstance(count, int):
                self._tokens.record(count, {**call, "gen_ai.token.type": kind}, context)
        cost = said.get("amends.usage.cost")
        if isinstance(cost, float):
            self._cost.add(cost, call, context)
