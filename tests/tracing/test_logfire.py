"""A provider that stands before the SDK's: logfire's own, as an application sets it up."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from amends.sagas import Coordinator, saga, step
from amends.tracing.ids import span_id_of
from tests.sagas.running import on_a_loop
from tests.tracing.seen import Seen, above, ids, links, said

logfire: Any = pytest.importorskip("logfire", reason="logfire isn't installed: run make again")


@step
async def fired_step() -> None:
    trace.get_current_span().set_attribute("item", "kettle")
    with trace.get_tracer("others").start_as_current_span("inside"):
        pass


@saga
async def fired() -> None:
    await fired_step()


@pytest.fixture
def fire(as_application: pytest.MonkeyPatch) -> tuple[Any, Seen]:
    """Give logfire as an application's provider, and what it exports."""
    del as_application
    exporter = InMemorySpanExporter()
    opened = logfire.configure(
        local=True,
        send_to_logfire=False,
        console=False,
        metrics=False,
        inspect_arguments=False,
        additional_span_processors=[SimpleSpanProcessor(exporter)],
    )
    trace.set_tracer_provider(opened.config.get_tracer_provider())
    return opened, Seen(exporter)


@on_a_loop
async def test_a_run_is_whole_under_logfire(database_url: str, fire: tuple[Any, Seen]) -> None:
    """Tracing 3: derived ids in spite of its proxies, its own spans as ever, links and parents right."""
    opened, seen = fire
    with opened.span("request"):
        async with Coordinator(database_url) as coordinator:
            run = await coordinator.start(fired)
            await run.result()
            with opened.span("joined"):
                other = await coordinator.start(fired, trace="join")
            await other.result()
    spans = {ids(span): span for span in seen.spans}
    anchor = spans[int(run.id.replace("-", ""), 16), span_id_of(run.id, "start")]
    request, below = seen.one("request"), seen.one("joined")
    assert links(anchor) == [("started_by", ids(request)[1])]
    made = spans[ids(anchor)[0], span_id_of(run.id, "step", 1, 1)]
    assert said(made)["item"] == "kettle"
    inside = [span for span in seen.spans if span.name == "inside"]
    assert sorted((ids(span)[0], above(span)) for span in inside) == sorted(
        (ids(span)[0], ids(span)[1]) for span in seen.spans if span.name == "step fired_step"
    )
    joined = spans[ids(below)[0], span_id_of(other.id, "start")]
    assert above(joined) == ids(below)[1]
    assert ids(request)[0] not in (0, ids(anchor)[0])
    assert len(spans) == len(seen.spans)
