from collections.abc import Iterator

import pytest
from opentelemetry import metrics, trace
from opentelemetry.metrics import _internal as meters
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.util._once import Once

from tests.tracing.counted import Counted
from tests.tracing.seen import Seen


@pytest.fixture
def as_application() -> Iterator[pytest.MonkeyPatch]:
    """Let a test set providers, as an application does once in its life."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trace, "_TRACER_PROVIDER", None)
        patch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", Once())
        patch.setattr(meters, "_METER_PROVIDER", None)
        patch.setattr(meters, "_METER_PROVIDER_SET_ONCE", Once())
        yield patch


@pytest.fixture
def provider(as_application: pytest.MonkeyPatch) -> TracerProvider:
    """Give the application's tracer provider."""
    del as_application
    made = TracerProvider()
    trace.set_tracer_provider(made)
    return made


@pytest.fixture
def seen(provider: TracerProvider) -> Seen:
    """Give what the application's provider has exported."""
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Seen(exporter)


@pytest.fixture
def counted(as_application: pytest.MonkeyPatch) -> Iterator[Counted]:
    """Give what the application's meter provider counts; it has no tracer provider unless it asks for one."""
    del as_application
    reader = InMemoryMetricReader()
    made = MeterProvider([reader])
    metrics.set_meter_provider(made)
    yield Counted(reader)
    made.shutdown()
