"""Setting a meter provider up, for applications that haven't."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from opentelemetry import metrics

from amends.tracing.metrics import meter_provider_in_use

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource


def metrics_asked() -> bool:
    """Tell whether OpenTelemetry's variables ask for metrics over OTLP."""
    exporters = os.environ.get("OTEL_METRICS_EXPORTER", "").split(",")
    named = bool(os.environ.get("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"))
    return "otlp" in (name.strip() for name in exporters) or (named and exporters == [""])


def check_no_meter_provider() -> None:
    """Raise `RuntimeError` where there is a meter provider already: it can't be replaced."""
    if meter_provider_in_use() is not None:
        raise RuntimeError(
            "there is a meter provider already, and amends uses it: leave out metrics=True, "
            "or call configure() first"
        )


def set_meter_provider(resource: Resource, endpoint: str | None) -> None:
    """Export metrics over OTLP/HTTP from here on, every `OTEL_METRIC_EXPORT_INTERVAL`."""
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415 - an extra
        OTLPMetricExporter,
    )
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415 - an extra
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader  # noqa: PLC0415 - an extra

    place = None if endpoint is None else f"{endpoint.rstrip('/')}/v1/metrics"
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=place))
    metrics.set_meter_provider(MeterProvider([reader], resource=resource))
