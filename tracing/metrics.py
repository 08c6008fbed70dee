"""What runs, steps and waits add up to: instruments of the application's meter provider.

Everything is told after the commit that it follows from, once, by the process that wrote it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from importlib.metadata import version
from typing import Any, Final

from opentelemetry import metrics
from opentelemetry.context import Context
from opentelemetry.metrics import MeterProvider, NoOpMeterProvider
from opentelemetry.trace import NonRecordingSpan, set_span_in_context

from amends.tracing.gauges import Gauges
from amends.tracing.model_metrics import ModelMetrics
from amends.tracing.span_data import Attributes, SpanData, Value
from amends.tracing.tracer import SCOPE

SECOND_NS: Final = 1_000_000_000
SHORT: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
"""Bounds of steps' durations, in seconds."""
LONG: Final = (0.01, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400, 604800, 2592000)
"""Bounds of what may take days: runs and waits; in seconds."""
COMMIT: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 10)
"""Bounds of commits' durations, in seconds."""
SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""Bounds of batches, in writes."""

ATTEMPT: Final = ("amends.saga.name", "amends.step.name", "amends.step.kind")
RUN: Final = ("amends.saga.name", "amends.run.status")
WAIT: Final = ("amends.saga.name", "amends.wait.kind", "amends.wait.outcome")
"""What tells the series of an instrument apart; no ids, so that there are as many as the code has names."""

log = logging.getLogger("amends.tracing")


class Metrics:
    """The instruments of one meter provider. Any thread may tell; nothing that goes wrong reaches a run.

    It is an observer of writers too. `gauges` are those that are asked for instead of told.
    """

    def __init__(self, provider: MeterProvider) -> None:
        meter = provider.get_meter(SCOPE, version("amends"))
        self.gauges = Gauges(meter)
        self._models = ModelMetrics(meter)
        self._runs = meter.create_histogram(
            "amends.run.duration",
            "s",
            "How long runs took, from their creation to their end.",
            explicit_bucket_boundaries_advisory=LONG,
        )
        self._steps = meter.create_histogram(
            "amends.step.duration",
            "s",
            "How long attempts of steps, probes and compensations took.",
            explicit_bucket_boundaries_advisory=SHORT,
        )
        self._retries = meter.create_counter(
            "amends.step.retries", "{attempt}", "Attempts of steps and compensations behind the first."
        )
        self._waits = meter.create_histogram(
            "amends.wait.duration",
            "s",
            "How long runs waited for time, signals and people.",
            explicit_bucket_boundaries_advisory=LONG,
        )
        self._claims = meter.create_counter(
            "amends.run.claimed", "{run}", "Runs that workers of this process have claimed."
        )
        self._lost = meter.create_counter(
            "amends.lease.lost", "{lease}", "Leases that workers of this process have lost."
        )
        self._lost.add(0)  # Whoever compares two values needs one from before the first loss.
        self._sizes = meter.create_histogram(
            "amends.commit.batch_size",
            "{write}",
            "How many writes were committed together.",
            explicit_bucket_boundaries_advisory=SIZES,
        )
        self._commits = meter.create_histogram(
            "amends.commit.duration",
            "s",
            "How long transactions took, from their beginning until they were known to be durable.",
            explicit_bucket_boundaries_advisory=COMMIT,
        )
        self._tell: dict[str, Callable[[SpanData, Context], None]] = {
            "run": self._run,
            "step": self._attempt,
            "probe": self._attempt,
            "compensate": self._attempt,
            "wait": self._wait,
        }

    def told(self, spans: Iterable[SpanData]) -> None:
        """Count what is on record now. Only what was just written is told here: nothing is taken back."""
        for span in spans:
            tell = self._tell.get(span.what)
            if tell is None:
                continue
            try:
                tell(span, _context(span))
            except Exception:
                log.exception("%r could not be counted", span.name)

    def committed(self, writes: int, seconds: float) -> None:
        """Count a transaction of a writer."""
        self._sizes.record(writes)
        self._commits.record(seconds)

    def claimed(self, runs: int) -> None:
        """Count runs that a worker has claimed."""
        self._claims.add(runs)

    def lease_lost(self) -> None:
        """Count a lease that a worker has lost."""
        self._lost.add(1)

    def _run(self, span: SpanData, context: Context) -> None:
        self._runs.record(_seconds(span), _chosen(span.attributes, RUN), context)

    def _attempt(self, span: SpanData, context: Context) -> None:
        said = _chosen(span.attributes, ATTEMPT)
        nth = span.attributes["amends.step.attempt"]
        if span.what != "probe" and isinstance(nth, int) and nth > 1:
            self._retries.add(1, said, context)
        seconds = _seconds(span)
        self._models.told(span.attributes, seconds, context)
        error = span.attributes.get("error.type")
        self._steps.record(seconds, said if error is None else {**said, "error.type": error}, context)

    def _wait(self, span: SpanData, context: Context) -> None:
        self._waits.record(_seconds(span), _chosen(span.attributes, WAIT), context)


def meter_provider_in_use() -> MeterProvider | None:
    """Give the application's meter provider; None where it has set none."""
    found = metrics.get_meter_provider()
    unset = isinstance(found, NoOpMeterProvider) or type(found).__name__ == "_ProxyMeterProvider"
    return None if unset else found


def _seconds(span: SpanData) -> float:
    return (span.end - span.start) / SECOND_NS


def _chosen(attributes: Attributes, names: Iterable[str]) -> dict[str, Value]:
    return {name: attributes[name] for name in names if name in attributes}


def _context(span: SpanData) -> Context:
    """Give the context that makes the span an exemplar of its histogram, if it is exported at all."""
    if not span.context.trace_flags.sampled:
        return Context()
    return set_span_in_context(NonRecordingSpan(span.context), Context())


_made: dict[int, tuple[Any, Metrics]] = {}
_making = threading.Lock()


def metrics_of(provider: MeterProvider) -> Metrics:
    """Give the instruments of a provider: one set in a process."""
    with _making:
        found = _made.get(id(provider))
        if found is None or found[0] is not provider:
            found = _made[id(provider)] = (provider, Metrics(provider))
        return found[1]
