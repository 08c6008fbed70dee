"""What is done to the SDK's tracers: to those of our scope alone, and only while a span of a run is made."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import Tracer, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NoOpTracerProvider, SpanContext, TraceFlags

from amends.sagas import Coordinator, saga, step
from amends.tracing import emitter as emitters
from amends.tracing.emitter import Emitter
from amends.tracing.span_data import SpanData
from amends.tracing.tracer import SCOPE, Unfit, emit, tracer_of
from tests.crash.waiting import eventually
from tests.sagas.running import on_a_loop

DATA = SpanData(
    "step",
    SpanContext(7, 9, is_remote=False, trace_flags=TraceFlags(1)),
    None,
    "made",
    10**18,
    10**18 + 10**6,
)


def exporting(provider: TracerProvider) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter


def test_the_installed_sdk_has_what_is_wrapped() -> None:
    """Tracing 3: the contract: both are plain attributes of a tracer that is made once for a scope."""
    provider = TracerProvider()
    tracer = provider.get_tracer("contract")
    assert isinstance(tracer, Tracer)
    assert isinstance(tracer.id_generator, IdGenerator)
    assert tracer.sampler is provider.sampler
    assert provider.get_tracer("contract") is tracer


def test_our_spans_have_the_ids_they_are_given_and_no_others_do() -> None:
    """Tracing 3: wrapped once however often it is asked for; other scopes keep generator and sampler."""
    provider = TracerProvider(sampler=ALWAYS_OFF)
    exporter = exporting(provider)
    ours, again, others = tracer_of(provider), tracer_of(provider), provider.get_tracer("others")
    emit(ours, DATA)
    (span,) = exporter.get_finished_spans()
    assert (span.name, span.start_time, span.end_time) == ("made", DATA.start, DATA.end)
    assert span.context is not None
    assert (span.context.trace_id, span.context.span_id) == (7, 9)
    assert again is ours
    assert isinstance(ours, Tracer)
    assert isinstance(others, Tracer)
    assert isinstance(getattr(ours.id_generator, "before", None), RandomIdGenerator)
    assert others.sampler is ALWAYS_OFF
    assert type(others.id_generator) is RandomIdGenerator
    assert not others.start_span("theirs").is_recording()
    assert not provider.get_tracer(SCOPE).start_span("not a run's").is_recording()


def test_each_provider_gets_its_own_spans() -> None:
    first, second = TracerProvider(), TracerProvider()
    one, two = exporting(first), exporting(second)
    emit(tracer_of(first), DATA)
    assert len(one.get_finished_spans()) == 1
    assert two.get_finished_spans() == ()


class ProxyTracer:
    """A tracer that stands before another, of the shape that logfire's have."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self.tracer = tracer


class ProxyProvider:
    """A provider of such tracers."""

    def __init__(self, provider: TracerProvider) -> None:
        self.provider = provider

    def get_tracer(self, name: str, version: str) -> ProxyTracer:
        return ProxyTracer(self.provider.get_tracer(name, version))


def test_proxies_are_seen_through() -> None:
    """Tracing 3: a provider that stands before the SDK's, as logfire's does."""
    provider = TracerProvider()
    exporter = exporting(provider)
    standing_before: Any = ProxyProvider(provider)
    emit(tracer_of(standing_before), DATA)
    assert [span.name for span in exporter.get_finished_spans()] == ["made"]


def test_a_provider_whose_spans_can_t_be_given_ids_is_refused_in_words() -> None:
    with pytest.raises(Unfit, match="needs OpenTelemetry's SDK"):
        tracer_of(NoOpTracerProvider())


@step
async def untroubled_step(n: int) -> int:
    return n


@saga
async def untroubled(count: int) -> int:
    for n in range(count):
        await untroubled_step(n)
    return count


class Hanging(SpanExporter):
    """An exporter that never comes back until it is let."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.taken = 0

    def export(self, spans: object) -> SpanExportResult:
        del spans
        self.over.wait()
        self.taken += 1
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self.over.set()


@on_a_loop
async def test_steps_never_wait_for_an_exporter(database_url: str, provider: TracerProvider) -> None:
    """Tracing 7: not even for one that hangs in the span's own thread; what was told comes out afterwards."""
    hanging = Hanging()
    provider.add_span_processor(SimpleSpanProcessor(hanging))
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(untroubled, 200)
        assert await run.result() == 200
        assert hanging.taken == 0
    assert hanging.taken == 0
    hanging.over.set()
    eventually(lambda: hanging.taken == 202, what="all spans are exported")


def test_what_waits_for_an_exporter_is_bounded(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What doesn't fit is left out and counted, with one warning."""
    monkeypatch.setattr(emitters, "MOST_WAITING", 10)
    provider, hanging = TracerProvider(), Hanging()
    provider.add_span_processor(SimpleSpanProcessor(hanging))
    emitter = Emitter(provider)
    with caplog.at_level(logging.WARNING):
        for _ in range(100):
            emitter.put([(DATA, None)])
    assert emitter.dropped >= 100 - 10 - 1
    assert not emitter.flush(0)
    assert len(caplog.records) == 1
    hanging.over.set()
    assert emitter.flush(30)


def test_a_span_that_can_t_be_made_harms_no_other() -> None:
    provider = TracerProvider()
    exporter, emitter = exporting(provider), Emitter(provider)
    broken: Any = "no time"
    emitter.put([(replace(DATA, start=broken), None), (DATA, None)])
    assert emitter.flush(30)
    assert [span.name for span in exporter.get_finished_spans()][-1] == "made"
