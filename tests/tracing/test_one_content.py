"""No two spans share an id, and a span that is told again says the same to the last event."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from amends.persistence.database import Database
from amends.sagas import Coordinator, NoEffect, Retry, RunFailed, Status, Undo, approval, receive, saga, step
from amends.sagas.aftermath import Aftermath
from amends.sagas.journal import Kind, from_row
from amends.sagas.registry import SAGAS
from amends.sagas.retelling import retold
from amends.sagas.telemetry import LOSS_WINDOW_MS, telemetry_of
from amends.tracing.attempt_span import MOST_SAID
from amends.tracing.tracer import emit, tracer_of
from tests.sagas.running import on_a_loop
from tests.tracing.seen import Seen, said

ONCE = Retry(attempts=1)
TEXT = "words"


class Odd:
    """Nothing that stands in a span."""


@step
async def content_said(size: int) -> int:
    span = trace.get_current_span()
    odd: Any = Odd()
    span.set_attributes(
        {"item": "kettle", "prices": [1, 2], "share": 0.5, "nan": float("nan"), "text": "\0\ud800"}
    )
    span.set_attribute("odd", odd)
    span.set_attribute("long", TEXT * size)
    span.add_event("noted", {"place": "shelf", "odd": odd})
    span.record_exception(ValueError("mild"))
    span.update_name("another name")
    return size


@content_said.compensation
async def content_unsaid(undo: Undo[int], size: int) -> None:
    trace.get_current_span().set_attribute("undone", size)


@step(effect="read")
async def content_read() -> int:
    trace.get_current_span().set_attribute("read", "the shelf")
    return 1


@step(retry=ONCE)
async def content_refused() -> None:
    trace.get_current_span().add_event("asked")
    raise NoEffect("no")


@saga
async def content_all(size: int) -> None:
    await content_read()
    await content_said(size)
    await content_refused()


@saga
async def content_waits_first() -> int:
    return await content_said(await receive(int, name="go"))


@saga
async def content_asks_twice() -> None:
    await asyncio.gather(approval(title="One?"), approval(title="Other?"))


def told_again(url: str, run: str) -> dict[int | None, Any]:
    """Tell a run's trace from its journal to another provider, as whoever takes over does; by id."""
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    database = Database.open(url, migrate=False)
    loaded = database.load(run)
    database.close()
    assert loaded is not None
    for data in retold(loaded.run, [from_row(row) for row in loaded.entries]):
        emit(tracer_of(provider), data)
    return {span.context.span_id: _content(span) for span in exporter.get_finished_spans() if span.context}


def _content(span: Any) -> Any:
    told = span.to_json()
    return told[: told.index('"resource"')]


@pytest.mark.parametrize("size", [1, MOST_SAID])
@on_a_loop
async def test_what_attempts_say_of_themselves_is_told_again_to_the_last_event(
    database_url: str, seen: Seen, size: int
) -> None:
    """Tracing 4, 7: of a step, a read, a failure and a compensation; what is too much is in neither."""
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(content_all, size)
        with contextlib.suppress(RunFailed):
            await run.result()
    first = {span.context.span_id: _content(span) for span in seen.spans if span.context}
    assert told_again(database_url, run.id) == first
    span = seen.one("step content_said")
    assert said(span)["item"] == "kettle"
    assert said(span)["prices"] == (1, 2)
    assert [event.name for event in span.events] == ["noted", "exception"]
    assert said(span).keys().isdisjoint({"odd", "nan"})
    assert ("long" in said(span)) is (size == 1)
    assert said(seen.one("step content_read"))["read"] == "the shelf"
    assert said(seen.one("compensate content_said"))["undone"] == size
    assert [event.name for event in seen.one("step content_refused").events] == ["asked"]


@on_a_loop
async def test_what_nobody_will_see_is_not_on_record(
    database_url: str, provider: TracerProvider, seen: Seen
) -> None:
    """Tracing 10: the attempts of a run that is sampled out say nothing to the journal either."""
    provider.sampler = ALWAYS_OFF
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(content_all, 1)
        with contextlib.suppress(RunFailed):
            await run.result()
        assert [entry for entry in await run.journal() if "said" in entry.meta] == []
    assert seen.spans == []


@on_a_loop
async def test_a_worker_that_lacks_the_code_tells_nothing_anew(
    database_url: str, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tracing 4, 7: it would name tools and models otherwise; one that has the code says the same again."""
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(content_all, 1)
        with contextlib.suppress(RunFailed):
            await run.result()
        entries = await run.journal()
    first = {span.context.span_id: _content(span) for span in seen.spans if span.context}
    seen.forget()
    database, telemetry = Database.open(database_url, migrate=False), telemetry_of("link", "whole")
    assert telemetry is not None
    aftermath = Aftermath(database, asyncio.to_thread, telemetry)
    died = entries[-1].at + 1
    with monkeypatch.context() as patch:
        patch.delitem(SAGAS._items, ("content_all", "1"))  # noqa: SLF001 - it has no way out
        await aftermath.tell(died)
    telemetry.close()
    assert seen.spans == []
    await aftermath.tell(died)
    telemetry.close()
    database.close()
    assert {span.context.span_id: _content(span) for span in seen.spans if span.context} == first


@on_a_loop
async def test_what_a_dead_worker_did_without_naming_itself_is_told_anew(
    database_url: str, seen: Seen
) -> None:
    """Tracing 4, 7: it only began to wait, and another has finished the run; what is long over isn't told."""
    async with Coordinator(database_url) as first:
        run = await first.start(content_waits_first)
        await first.run_until_idle()
        assert [entry.meta for entry in await run.journal() if "worker" in entry.meta] == []
    seen.forget()
    async with Coordinator(database_url) as second:
        await second.signal(run.id, "go", 1)
        taken_over = await second.get(run.id)
        await taken_over.result()
        entries = await taken_over.journal()
    assert f"start {content_waits_first.name}" not in seen.names
    database, telemetry = Database.open(database_url, migrate=False), telemetry_of("link", "whole")
    assert telemetry is not None
    aftermath = Aftermath(database, asyncio.to_thread, telemetry)
    await aftermath.tell(entries[0].at)
    telemetry.close()
    assert f"start {content_waits_first.name}" in seen.names
    seen.forget()
    await aftermath.tell(entries[-1].at + LOSS_WINDOW_MS + 1)
    telemetry.close()
    database.close()
    assert seen.spans == []


@on_a_loop
async def test_two_approvals_that_a_cancel_withdraws_are_two_spans(database_url: str, seen: Seen) -> None:
    """Tracing 4: one entry of the journal ends both waits."""
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(content_asks_twice)
        await coordinator.run_until_idle()
        await run.cancel()
        await coordinator.run_until_idle()
        assert await run.status() == Status.CANCELLED
        kinds = [entry.kind for entry in await run.journal()]
    ids = Counter(span.context.span_id for span in seen.spans if span.context)
    assert [number for number in ids.values() if number > 1] == []
    assert seen.names.count("wait approval") == 2, kinds
    assert Kind.SWITCH in kinds
