"""Exporting a trace that was told anew, over OTLP/HTTP."""

from __future__ import annotations

from collections.abc import Sequence

from amends.tracing.configure import exporter_of, resource_of
from amends.tracing.span_data import SpanData
from amends.tracing.tracer import emit, tracer_of


def export(spans: Sequence[SpanData], *, service: str | None, endpoint: str | None) -> bool:
    """Export spans at once, as `configure` would have them exported; gives whether they were taken.

    Raises `ImportError` without the extra `amends[otel]`.
    """
    exporter = exporter_of(endpoint)
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - an extra
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult  # noqa: PLC0415 - an extra
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import (  # noqa: PLC0415 - an extra
        InMemorySpanExporter,
    )

    made = InMemorySpanExporter()
    provider = TracerProvider(resource=resource_of(service))
    provider.add_span_processor(SimpleSpanProcessor(made))
    tracer = tracer_of(provider)
    for span in spans:
        emit(tracer, span)
    try:
        return exporter.export(made.get_finished_spans()) is SpanExportResult.SUCCESS
    finally:
        exporter.shutdown()
