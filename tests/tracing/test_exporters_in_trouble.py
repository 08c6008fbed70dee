"""Exporters that are slow, hang or refuse: no run waits for them, and what is kept for them is bounded."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, TraceFlags

from amends.sagas import Coordinator, saga, step
from amends.tracing import emitter as emitters
from amends.tracing.emitter import LAST_FLUSH, Emitter
from amends.tracing.span_data import SpanData, Value
from amends.tracing.tracer import emit, tracer_of
from tests.crash.waiting import eventually
from tests.sagas.running import on_a_loop
from tests.tracing.collector import Collector, collecting, once

MANY = 5_000
"""More spans than an SDK's processor keeps for its exporter."""
STEPS = 200
MARGIN = 2.0


@step
async def troubled_step(n: int) -> int:
    return n


@saga
async def troubled(count: int) -> int:
    for n in range(count):
        await troubled_step(n)
    return count


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


@pytest.fixture
def exporting(collector: Collector) -> Iterator[TracerProvider]:
    """Give a provider with the SDK's own processor and exporter, as most applications have."""
    provider = TracerProvider()
    exporter = OTLPSpanExporter(f"{collector.url}/v1/traces", timeout=20)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    yield provider
    collector.behave("good")
    provider.shutdown()


def data(number: int) -> SpanData:
    context = SpanContext(number + 1, number + 1, is_remote=False, trace_flags=TraceFlags(1))
    return SpanData("step", context, None, f"made {number}", 10**18, 10**18 + 10**6)


def test_a_burst_gets_out_whole(exporting: TracerProvider, collector: Collector) -> None:
    """Tracing 7: a thousand runs at once make more spans than a processor keeps; none is lost."""
    emitter = Emitter(exporting)
    emitter.put((data(number), None) for number in range(MANY))
    assert emitter.flush(60)
    names = {span["name"] for span in once(collector.all())}
    assert len(names & {f"made {number}" for number in range(MANY)}) == MANY
    assert emitter.dropped == 0


@pytest.mark.parametrize("manner", ["hang", "refuse"])
@on_a_loop
async def test_steps_finish_and_the_coordinator_closes_while_the_back_end_is_out_of_order(
    sqlite_url: str,
    as_application: pytest.MonkeyPatch,
    exporting: TracerProvider,
    collector: Collector,
    manner: str,
) -> None:
    """Tracing 7: what was told meanwhile comes out once it is in order again, also by the SDK's own means."""
    del as_application
    trace.set_tracer_provider(exporting)
    collector.behave(manner)
    asked = collector.asked()
    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(troubled, STEPS)
        assert await run.result() == STEPS
        began = time.monotonic()
    assert time.monotonic() - began < LAST_FLUSH + MARGIN
    eventually(lambda: collector.asked() > asked, what="it is asked", seconds=15)
    collector.behave("good")
    eventually(
        lambda: len({span["id"] for span in collector.about(run.id)}) == STEPS + 2,
        what="all spans have come",
        seconds=40,
    )


def test_words_that_are_no_unicode_poison_nothing() -> None:
    """Half a surrogate pair, typed by somebody: OTLP can't have it, and the whole batch would be lost."""
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    said: dict[str, Value] = {"amends.wait.actor": "ann\ud800", "names": ("a\udfff", "b")}
    event = ("noted\ud800", {"by": "\ud800"}, 10**18)
    broken = replace(data(1), name="wait \ud800", attributes=said, error="\ud800", events=(event,))
    emit(tracer_of(provider), broken)
    encode_spans(exporter.get_finished_spans()).SerializeToString()
    (span,) = exporter.get_finished_spans()
    assert (span.attributes or {})["amends.wait.actor"] == "ann?"


def test_trouble_is_logged_once_for_as_long_as_it_lasts(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, collector: Collector
) -> None:
    """What doesn't fit is counted; a new trouble, hours later, is worth a new warning."""
    monkeypatch.setattr(emitters, "MOST_WAITING", 10)
    provider = TracerProvider()
    provider.add_span_processor(
        SimpleSpanProcessor(OTLPSpanExporter(f"{collector.url}/v1/traces", timeout=5))
    )
    emitter = Emitter(provider)
    with caplog.at_level(logging.WARNING, "amends.tracing"):
        for trouble in (1, 2):
            collector.behave("hang")
            for number in range(50):
                emitter.put([(data(trouble * 1000 + number), None)])
            assert len([r for r in caplog.records if r.name == "amends.tracing"]) == trouble
            collector.behave("good")
            assert emitter.flush(30)
    provider.shutdown()
