"""The spans of runs, as an application's own provider gets them."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, TraceIdRatioBased

from amends.sagas import (
    Coordinator,
    NoEffect,
    Retry,
    RunFailed,
    Undo,
    approval,
    current_step,
    receive,
    saga,
    sleep,
    step,
)
from amends.sagas.testing import VirtualClock
from amends.tracing.ids import span_id_of
from tests.sagas.running import on_a_loop
from tests.tracing.seen import Seen, above, ids, links, said

ONCE = Retry(attempts=1)


@step
async def traced_note(text: str) -> str:
    trace.get_current_span().set_attribute("text", text)
    trace.get_current_span().add_event("noted")
    with trace.get_tracer("others").start_as_current_span("inside"):
        return text


@traced_note.compensation
async def traced_unnote(undo: Undo[str], text: str) -> None:
    with trace.get_tracer("others").start_as_current_span("inside the undoing"):
        pass


@step
def traced_in_thread(text: str) -> str:
    with trace.get_tracer("others").start_as_current_span("inside the thread"):
        return text


@step(retry=Retry(attempts=2, wait=timedelta(milliseconds=1)))
async def traced_second_time() -> int:
    if current_step().attempt == 1:
        raise OSError("secret words")
    return 2


@step(retry=ONCE)
async def traced_refused() -> None:
    raise NoEffect("no")


@step(effect="read")
async def traced_look() -> int:
    return 1


@saga
async def traced_note_two() -> str:
    await traced_note("one")
    return await traced_in_thread("two")


@saga
async def traced_parent() -> str:
    return await traced_note_two()


@saga
async def traced_gives_up() -> None:
    await traced_note("one")
    await traced_refused()


@saga
async def traced_waits() -> str:
    await sleep(timedelta(days=2))
    word = await receive(str, name="word")
    await approval(title="Well?")
    return word


@saga
async def traced_tries_again() -> int:
    return await traced_second_time()


@saga
async def traced_many(count: int) -> int:
    for _ in range(count):
        await traced_look()
    await sleep(timedelta(days=1))
    return count


async def run_in(url: str, what: Callable[[], Awaitable[Any]]) -> str:
    """Run a saga to its end in a coordinator of its own, which has exported everything once it is closed."""
    async with Coordinator(url) as coordinator:
        run = await coordinator.start(what)
        with contextlib.suppress(RunFailed):
            await run.result()
    return run.id


@on_a_loop
async def test_a_run_is_one_tree_under_derived_ids(database_url: str, seen: Seen) -> None:
    """Tracing 1, 2, 4: a trace named for the run, an anchor, an end, attempts by their place in the run."""
    run = await run_in(database_url, traced_note_two)
    anchor = seen.one("start traced_note_two")
    assert ids(anchor) == (int(run.replace("-", ""), 16), span_id_of(run, "start"))
    assert above(anchor) is None
    assert anchor.kind is trace.SpanKind.PRODUCER
    step_ = seen.one("step traced_note")
    assert ids(step_)[1] == span_id_of(run, "step", 1, 1)
    for name in ("step traced_note", "step traced_in_thread", "invoke_workflow traced_note_two"):
        assert above(seen.one(name)) == ids(anchor)[1]
        assert ids(seen.one(name))[0] == ids(anchor)[0]
    assert said(seen.one("invoke_workflow traced_note_two"))["amends.run.status"] == "completed"
    assert all(
        (span.end_time or 0) - (span.start_time or 0) >= 1_000 for span in seen.spans if _ours(span.name)
    )


@on_a_loop
async def test_what_a_step_calls_hangs_on_its_attempt(database_url: str, seen: Seen) -> None:
    """Tracing 9: in steps, in threads and in compensations; what a step says of itself stands on its span."""
    await run_in(database_url, traced_note_two)
    step_ = seen.one("step traced_note")
    assert above(seen.one("inside")) == ids(step_)[1]
    assert above(seen.one("inside the thread")) == ids(seen.one("step traced_in_thread"))[1]
    assert said(step_)["text"] == "one"
    assert [event.name for event in step_.events] == ["noted"]
    seen.forget()
    await run_in(database_url, traced_gives_up)
    undone = seen.one("compensate traced_note")
    assert above(seen.one("inside the undoing")) == ids(undone)[1]
    assert links(undone) == [("compensates", ids(seen.one("step traced_note"))[1])]


@on_a_loop
async def test_only_failed_attempts_are_errors(database_url: str, seen: Seen) -> None:
    """Tracing 8, 11: compensating and failing aren't; an error's type is told, and its words aren't."""
    await run_in(database_url, traced_gives_up)
    await run_in(database_url, traced_tries_again)
    failed = [span for span in seen.spans if span.status.status_code is trace.StatusCode.ERROR]
    assert [span.name for span in failed] == ["step traced_refused", "step traced_second_time"]
    assert said(failed[1])["error.type"] == "builtins.OSError"
    assert "secret" not in (failed[1].status.description or "")
    again = [span for span in seen.spans if span.name == "step traced_second_time"]
    assert links(again[1]) == [("retry_of", ids(again[0])[1])]


@on_a_loop
async def test_a_pause_of_days_shows_while_it_lasts_and_when_it_is_over(sqlite_url: str, seen: Seen) -> None:
    """A mark when the run goes to sleep, and the whole wait on waking, as long as recorded."""
    clock = VirtualClock()
    async with Coordinator(sqlite_url, clock=clock) as coordinator:
        run = await coordinator.start(traced_waits)
        await coordinator.run_until_idle()
    assert seen.names == ["start traced_waits", "waiting timer"]
    seen.forget()
    clock.advance(timedelta(days=2))
    async with Coordinator(sqlite_url, clock=clock) as coordinator:
        await coordinator.run_until_idle()
    slept = seen.one("wait timer")
    assert (slept.end_time or 0) - (slept.start_time or 0) == 2 * 86_400 * 10**9
    assert seen.names == ["wait timer", "waiting signal word"]
    seen.forget()
    clock.advance(timedelta(days=1))
    async with Coordinator(sqlite_url, clock=clock) as coordinator:
        with trace.get_tracer("others").start_as_current_span("web request") as request:
            await coordinator.signal(run.id, "word", "yes")
        await coordinator.run_until_idle()
        (asked,) = await coordinator.approvals()
        with trace.get_tracer("others").start_as_current_span("click") as click:
            await coordinator.decide(asked.id, approved=True, by="ann")
        await coordinator.run_until_idle()
        assert await (await coordinator.get(run.id)).result() == "yes"
    received, decided = seen.one("wait signal word"), seen.one("wait approval")
    assert links(received) == [("sent_by", request.get_span_context().span_id)]
    assert links(decided) == [("sent_by", click.get_span_context().span_id)]
    assert said(decided)["amends.wait.actor"] == "ann"
    assert said(decided)["amends.wait.outcome"] == "approved"


@on_a_loop
async def test_a_caller_is_linked_to_unless_the_run_joins_its_trace(database_url: str, seen: Seen) -> None:
    """Tracing 1: a request that starts a thousand runs isn't one trace of them all, unless asked for."""
    tracer = trace.get_tracer("others")
    async with Coordinator(database_url) as coordinator:
        with tracer.start_as_current_span("request") as request:
            caller = request.get_span_context()
            linked = await coordinator.start(traced_note_two)
            joined = await coordinator.start(traced_parent, trace="join")
        await linked.result()
        await joined.result()
    first = {said(span)["amends.run.id"]: span for span in seen.spans if span.name.startswith("start ")}
    assert links(first[linked.id]) == [("started_by", caller.span_id)]
    assert ids(first[linked.id])[0] != caller.trace_id
    assert above(first[joined.id]) == caller.span_id
    mine = [span for span in seen.spans if str(said(span).get("amends.run.id", "")).startswith(joined.id)]
    assert {ids(span)[0] for span in mine} == {caller.trace_id}
    assert above(first[f"{joined.id}/1"]) == ids(first[joined.id])[1]
    assert len(mine) == 6


@on_a_loop
async def test_replaying_tells_nothing(sqlite_url: str, seen: Seen) -> None:
    """Tracing 5: a run of a thousand steps that is woken tells of its waking alone."""
    clock = VirtualClock()
    async with Coordinator(sqlite_url, clock=clock) as coordinator:
        run = await coordinator.start(traced_many, 1_000)
        await coordinator.run_until_idle()
    assert seen.names.count("step traced_look") == 1_000
    seen.forget()
    async with Coordinator(sqlite_url, clock=clock) as coordinator:
        await coordinator.signal(run.id, "nobody receives it")
        await coordinator.run_until_idle()
    assert seen.names == []
    clock.advance(timedelta(days=1))
    async with Coordinator(sqlite_url, clock=clock) as coordinator:
        await coordinator.run_until_idle()
    assert seen.names == ["invoke_workflow traced_many", "wait timer"]


@on_a_loop
async def test_what_was_sampled_out_is_never_exported(
    database_url: str, provider: TracerProvider, seen: Seen
) -> None:
    """Tracing 10: children included, also by a process whose ratio says yes; and the other way round."""
    clock = VirtualClock()
    provider.sampler = ALWAYS_OFF
    async with Coordinator(database_url, clock=clock) as coordinator:
        out = await coordinator.start(traced_parent)
        await coordinator.run_until_idle()
        asleep = await coordinator.start(traced_many, 2)
        await coordinator.run_until_idle()
        assert await out.result() == "two"
    assert [name for name in seen.names if _ours(name)] == []
    provider.sampler = TraceIdRatioBased(1)
    clock.advance(timedelta(days=1))
    async with Coordinator(database_url, clock=clock) as coordinator:
        await coordinator.run_until_idle()
        assert await (await coordinator.get(asleep.id)).result() == 2
    assert [name for name in seen.names if _ours(name)] == []


@on_a_loop
async def test_a_run_whose_starter_had_no_telemetry_is_told_by_its_worker(
    database_url: str, as_application: pytest.MonkeyPatch
) -> None:
    """A run without a stored trace gets the one that its id gives, and its worker tells its creation."""
    async with Coordinator(database_url, work=False) as coordinator:
        run = await coordinator.start(traced_parent)
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    seen = Seen(exporter)
    async with Coordinator(database_url) as coordinator:
        await (await coordinator.get(run.id)).result()
    assert ids(seen.one("start traced_parent"))[0] == int(run.id.replace("-", ""), 16)
    assert above(seen.one("start traced_note_two")) == ids(seen.one("start traced_parent"))[1]


@on_a_loop
async def test_each_stretch_of_work_may_have_a_trace_of_its_own(sqlite_url: str, seen: Seen) -> None:
    """Tracing 12: linked to the anchor, and still all of the run's."""
    clock = VirtualClock()
    async with Coordinator(sqlite_url, clock=clock, trace_mode="linked") as coordinator:
        run = await coordinator.start(traced_waits)
        await coordinator.run_until_idle()
        clock.advance(timedelta(days=2))
        await coordinator.run_until_idle()
        await coordinator.signal(run.id, "word", "yes")
        await coordinator.run_until_idle()
    anchor = seen.one("start traced_waits")
    later = [span for span in seen.spans if span.name == "continue traced_waits"]
    assert len({ids(span)[0] for span in (anchor, *later)}) == 3
    assert [links(span) for span in later] == [[("part_of", ids(anchor)[1])]] * 2
    assert above(seen.one("wait timer")) == ids(later[0])[1]
    assert [above(span) for span in later] == [None, None]


@on_a_loop
async def test_a_fresh_id_keeps_traces_of_two_databases_apart(
    database_url: str, sqlite_url: str, seen: Seen
) -> None:
    """An id of the application's own may stand in two databases: its trace is named for its creation, too."""
    name = f"order-{uuid4().hex[:8]}"
    async with Coordinator(database_url) as coordinator:
        await (await coordinator.start(traced_note_two, id=name)).result()
    async with Coordinator(f"{sqlite_url}.other") as coordinator:
        await (await coordinator.start(traced_note_two, id=name)).result()
    first, second = [ids(span)[0] for span in seen.spans if span.name.startswith("start ")]
    assert first != second


def _ours(name: str) -> bool:
    return name.startswith(("start ", "step ", "wait", "invoke_", "compensate "))
