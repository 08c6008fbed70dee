"""Whether a run is traced is decided when it is created, and by nobody again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler, TraceIdRatioBased

from amends.sagas import Coordinator, Undo, saga, sleep, step
from amends.sagas.testing import VirtualClock
from tests.sagas.running import on_a_loop
from tests.tracing.seen import Seen, above, ids

DAY = timedelta(days=1)
YES, NO = ParentBased(ALWAYS_ON), ParentBased(ALWAYS_OFF)
Process = Callable[[Sampler | None], Seen]


@step
async def decided_step() -> None:
    with trace.get_tracer("others").start_as_current_span("inside"):
        pass


@decided_step.compensation
async def decided_undo(undo: Undo[None]) -> None:
    await decided_inside()


async def decided_inside() -> None:
    with trace.get_tracer("others").start_as_current_span("inside"):
        pass


@saga
async def decided_child() -> None:
    await decided_step()
    await sleep(DAY)
    await decided_step()


@saga
async def decided_parent() -> None:
    await decided_step()
    await asyncio.gather(decided_child(), decided_child())
    raise ValueError("so it is undone")


@pytest.fixture
def process(as_application: pytest.MonkeyPatch) -> Process:
    """Give what makes this process one with a provider of its own, or with none."""

    def begin(sampler: Sampler | None) -> Seen:
        exporter = InMemorySpanExporter()
        provider = None if sampler is None else TracerProvider(sampler=sampler)
        if provider is not None:
            provider.add_span_processor(SimpleSpanProcessor(exporter))
        as_application.setattr(trace, "_TRACER_PROVIDER", provider)
        return Seen(exporter)

    return begin


async def lived(url: str, process: Process, *samplers: Sampler | None) -> list[Seen]:
    """Have a run and its children live in so many processes, days apart, to the end."""
    clock, seen = VirtualClock(), []
    for number, sampler in enumerate(samplers):
        seen.append(process(sampler))
        async with Coordinator(url, clock=clock) as coordinator:
            if not number:
                await coordinator.start(decided_parent, id="decided")
            await coordinator.run_until_idle()
        clock.advance(DAY)
    return seen


@pytest.mark.parametrize("later", [YES, ALWAYS_ON, TraceIdRatioBased(1)], ids=["parent", "on", "ratio"])
@on_a_loop
async def test_what_was_sampled_out_stays_out_whoever_goes_on_with_it(
    database_url: str, process: Process, later: Sampler
) -> None:
    """Tracing 10: its children, its compensations and its end, in a process whose sampler says yes."""
    first, second = await lived(database_url, process, NO, later)
    assert first.spans == []
    assert [span.name for span in second.spans if span.name != "inside"] == []
    if isinstance(later, ParentBased):
        # What others make inside is theirs: a sampler that heeds its parent leaves it out too.
        assert second.spans == []


@on_a_loop
async def test_what_was_sampled_is_whole_whoever_goes_on_with_it(database_url: str, process: Process) -> None:
    """Tracing 10: also by a process that would trace nothing of its own."""
    first, second = await lived(database_url, process, YES, NO)
    spans = {span.context.span_id: span for span in (*first.spans, *second.spans) if span.context}
    assert [above(span) for span in spans.values() if above(span) not in (None, *spans)] == []
    assert len({ids(span)[0] for span in spans.values()}) == 1
    assert second.names.count("invoke_workflow decided_parent") == 1
    assert second.names.count("invoke_workflow decided_child") == 2 * len(("completed", "undone"))
    assert second.names.count("compensate decided_step") == 5


@on_a_loop
async def test_a_run_begun_without_telemetry_gets_its_anchor_all_the_same(
    database_url: str, process: Process
) -> None:
    """Tracing 1: its first worker traced nothing; what others tell hangs on something."""
    _, second = await lived(database_url, process, None, YES)
    spans = {span.context.span_id: span for span in second.spans if span.context}
    assert [span.name for span in spans.values() if above(span) not in (None, *spans)] == []
    assert [span.name for span in spans.values() if above(span) is None] == ["start decided_parent"]
    assert len([span for span in spans.values() if span.name == "start decided_child"]) == 2


@on_a_loop
async def test_a_run_that_passes_through_a_process_without_telemetry_stays_one_trace(
    database_url: str, process: Process
) -> None:
    """Tracing 1, 2: what nobody told is missing, what was told hangs together."""
    first, _, last = await lived(database_url, process, YES, None, YES)
    spans = {span.context.span_id: span for span in (*first.spans, *last.spans) if span.context}
    assert [span.name for span in spans.values() if above(span) not in (None, *spans)] == []
    assert len({ids(span)[0] for span in spans.values()}) == 1


@saga
async def decided_by_the_clock() -> None:
    await decided_step()


@on_a_loop
async def test_an_occurrence_of_a_schedule_is_decided_when_it_is_started(
    database_url: str, process: Process
) -> None:
    """Tracing 1, 10: in a trace of its own, whoever opened the coordinator; sampled as its ticker says."""
    clock = VirtualClock()
    for sampler, wanted in ((YES, 1), (NO, 0)):
        seen = process(sampler)
        with trace.get_tracer("others").start_as_current_span("start-up") as outer:
            async with Coordinator(database_url, clock=clock) as coordinator:
                await coordinator.schedules.put("daily", decided_by_the_clock, every=DAY)
                clock.advance(DAY)
                await coordinator.run_until_idle()
                runs = await coordinator.list()
        assert seen.names.count("start decided_by_the_clock") == wanted
        for span in seen.spans:
            assert ids(span)[0] != outer.get_span_context().trace_id or span.name == "start-up"
            assert list(span.links) == []
        assert len(runs) == (1 if wanted else 2)
