"""Setting OpenTelemetry up in one line, for applications that haven't."""

from __future__ import annotations

import os
import socket
import uuid
from typing import TYPE_CHECKING, Final

from opentelemetry import trace

from amends.tracing.content import CONTENT
from amends.tracing.meter import check_no_meter_provider, metrics_asked, set_meter_provider
from amends.tracing.metrics import meter_provider_in_use
from amends.tracing.tracer import provider_in_use

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

DELAY_MS: Final = 1_000
"""Milliseconds until spans are exported at the latest, unless `OTEL_BSP_SCHEDULE_DELAY` is set."""

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""The variables that name a collector of spans."""


def configure(
    *,
    service: str | None = None,
    endpoint: str | None = None,
    content: bool | None = None,
    metrics: bool | None = None,
) -> TracerProvider:
    """Export traces over OTLP/HTTP, from here on: call it before a coordinator is opened.

    `service` is the name under which they are found, `endpoint` the address of a collector or of Jaeger
    (`http://localhost:4318`; spans go to `/v1/traces` below it). What is left out, OpenTelemetry's own
    variables say: `OTEL_SERVICE_NAME`, `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_HEADERS`,
    `OTEL_TRACES_SAMPLER` and the others of its SDK. `content=True` puts inputs, outputs, prompts and errors'
    texts into spans; left out, `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` decides.
    `metrics=True` exports metrics as well, to `/v1/metrics` (Jaeger takes none); left out, they are exported
    where `OTEL_EXPORTER_OTLP_METRICS_ENDPOINT` is set, or `OTEL_METRICS_EXPORTER` is `otlp`.
    Gives the provider, for processors and exporters of your own. An application that has a provider (plain
    SDK, logfire, auto-instrumentation) needs none of this: amends uses it.
    Raises `ImportError` without the extra `amends[otel]`, `RuntimeError` where there is a provider already:
    of spans, or with `metrics=True` of meters.

    >>> amends.tracing.configure(service="orders", endpoint="http://localhost:4318")
    """
    if provider_in_use() is not None:
        raise RuntimeError(
            "there is a tracer provider already, and amends uses it: leave configure() out, or call it first"
        )
    if metrics:
        check_no_meter_provider()
    exporter = exporter_of(endpoint)
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - an extra
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - an extra

    resource = resource_of(service)
    provider = TracerProvider(resource=resource)
    delay = None if "OTEL_BSP_SCHEDULE_DELAY" in os.environ else DELAY_MS
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=delay))
    trace.set_tracer_provider(provider)
    CONTENT.said = content
    if metrics or (metrics is None and metrics_asked() and meter_provider_in_use() is None):
        set_meter_provider(resource, endpoint)
    return provider


def configure_if_asked(service: str | None = None) -> bool:
    """Configure where OpenTelemetry's variables name an endpoint and nobody has set a provider.

    For programs that are started by others: `amends worker` does so. Gives whether there is a provider.
    Raises `ImportError` without the extra `amends[otel]`.
    """
    if provider_in_use() is not None:
        return True
    if not any(os.environ.get(name) for name in ENDPOINTS):
        return False
    configure(service=None if os.environ.get("OTEL_SERVICE_NAME") else service)
    return True


def exporter_of(endpoint: str | None) -> SpanExporter:
    """Make what exports over OTLP/HTTP, to an address or to where the variables say. Raises `ImportError`."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - an extra
            OTLPSpanExporter,
        )
    except ImportError as missing:
        raise ImportError(
            'to export traces takes OpenTelemetry\'s SDK: pip install "amends[otel]"'
        ) from missing
    return OTLPSpanExporter(endpoint=None if endpoint is None else f"{endpoint.rstrip('/')}/v1/traces")


def resource_of(service: str | None) -> Resource:
    """Say who exports; without a host's name Jaeger corrects differences of clocks that aren't there."""
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - an extra

    known = Resource.create().attributes
    said: dict[str, str] = {} if service is None else {"service.name": service}
    if service is None and str(known.get("service.name", "")).startswith("unknown_service"):
        said["service.name"] = "amends"
    if "service.instance.id" not in known:
        said["service.instance.id"] = uuid.uuid4().hex
    if "host.name" not in known:
        said["host.name"] = socket.gethostname()
    return Resource.create(said)
