"""What runs, steps and waits add up to, as an application's own meter provider gets it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from opentelemetry import metrics, trace
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from amends.agents import Agent, ScriptedModel
from amends.sagas import (
    Coordinator,
    NoEffect,
    Retry,
    RunFailed,
    RunParked,
    Undo,
    approval,
    receive,
    saga,
    sleep,
    step,
)
from amends.sagas.testing import VirtualClock
from amends.tracing.metrics import Metrics, meter_provider_in_use
from tests.sagas.running import on_a_loop
from tests.sagas.test_fencing import take_away
from tests.tracing.counted import Counted
from tests.tracing.seen import Seen

ONCE = Retry(attempts=1)
TRIES = {"count": 0}


@step
async def counted_note(text: str) -> str:
    return text


@counted_note.compensation(retry=ONCE)
async def counted_unnote(undo: Undo[str], text: str) -> None:
    if text == "stuck":
        raise OSError("no answer")


@step(retry=Retry(attempts=3, wait=timedelta(0)))
async def counted_third_time() -> None:
    TRIES["count"] += 1
    if TRIES["count"] % 3:
        raise OSError("not yet")


@step(retry=ONCE)
async def counted_refused() -> None:
    raise NoEffect("no")


@saga
async def counted_good() -> str:
    await counted_note("one")
    await counted_third_time()
    return "good"


@saga
async def counted_parent() -> str:
    return await counted_good()


@saga
async def counted_gives_up(text: str = "one") -> None:
    await counted_note(text)
    await counted_refused()


@saga
async def counted_waits() -> str:
    await sleep(timedelta(days=2))
    word = await receive(str, name="word")
    await approval(title="Well?")
    return word


async def run_in(url: str, what: Callable[..., Awaitable[Any]], *args: Any, **options: Any) -> str:
    """Run a saga to its end in a coordinator of its own."""
    async with Coordinator(url) as coordinator:
        run = await coordinator.start(what, *args, **options)
        with contextlib.suppress(RunFailed, RunParked):
            await run.result()
    return run.id


@on_a_loop
async def test_counts_are_what_the_journals_tell(database_url: str, counted: Counted) -> None:
    """Runs by status, attempts by step and error, compensations among them, retries."""
    TRIES["count"] = 0
    await run_in(database_url, counted_good)
    await run_in(database_url, counted_parent)
    await run_in(database_url, counted_gives_up)
    assert counted.values("amends.run.duration", "amends.saga.name", "amends.run.status") == {
        ("counted_good", "completed"): 2,
        ("counted_parent", "completed"): 1,
        ("counted_gives_up", "compensated"): 1,
    }
    assert counted.values("amends.step.duration", "amends.step.name", "amends.step.kind", "error.type") == {
        ("counted_note", "compensatable", ""): 3,
        ("counted_third_time", "plain", ""): 2,
        ("counted_third_time", "plain", "builtins.OSError"): 4,
        ("counted_refused", "plain", "amends.sagas.errors.NoEffect"): 1,
        ("counted_unnote@1", "compensation", ""): 1,
    }
    assert counted.values("amends.step.retries", "amends.step.name") == {"counted_third_time": 4}


@on_a_loop
async def test_a_pause_counts_when_it_is_over_as_long_as_recorded(sqlite_url: str, counted: Counted) -> None:
    """Also across coordinators; and replaying counts nothing again (Tracing 5)."""
    clock = VirtualClock()
    async with Coordinator(sqlite_url, clock=clock) as coordinator:
        run = await coordinator.start(counted_waits)
        await coordinator.run_until_idle()
    assert counted.values("amends.wait.duration", "amends.wait.kind") == {}
    clock.advance(timedelta(days=2))
    async with Coordinator(sqlite_url, clock=clock) as coordinator:
        await coordinator.run_until_idle()
    async with Coordinator(sqlite_url, clock=clock) as coordinator:
        clock.advance(timedelta(minutes=5))
        await coordinator.signal(run.id, "word", "yes")
        await coordinator.run_until_idle()
        clock.advance(timedelta(minutes=7))
        (asked,) = await coordinator.approvals()
        await coordinator.decide(asked.id, approved=True, by="ann")
        await coordinator.run_until_idle()
    assert counted.sums("amends.wait.duration", "amends.wait.kind", "amends.wait.outcome") == {
        ("timer", "fired"): 2 * 86_400,
        ("signal", "received"): 300,
        ("approval", "approved"): 420,
    }
    assert counted.sums("amends.run.duration", "amends.run.status") == {"completed": 2 * 86_400 + 720}


@on_a_loop
async def test_what_is_sampled_out_of_traces_is_counted(
    database_url: str, counted: Counted, seen: Seen, provider: TracerProvider
) -> None:
    """Sampling is about spans; what adds up has to be whole."""
    provider.sampler = ALWAYS_OFF
    await run_in(database_url, counted_gives_up)
    assert not [span for span in seen.spans if "counted" in span.name]
    assert counted.values("amends.run.duration", "amends.run.status") == {"compensated": 1}
    assert sum(counted.values("amends.step.duration", "amends.step.kind").values()) == 3


@on_a_loop
async def test_a_count_leads_to_a_trace(sqlite_url: str, counted: Counted, seen: Seen) -> None:
    """Where a run is traced, its spans are the exemplars of what they are counted in."""
    await run_in(sqlite_url, counted_gives_up)
    (point,) = counted.points("amends.run.duration")
    (exemplar,) = point.exemplars
    ended = seen.one("invoke_workflow counted_gives_up")
    assert ended.context is not None
    assert (exemplar.trace_id, exemplar.span_id) == (ended.context.trace_id, ended.context.span_id)


@on_a_loop
async def test_without_any_provider_there_is_no_telemetry(
    sqlite_url: str, as_application: pytest.MonkeyPatch
) -> None:
    del as_application
    assert meter_provider_in_use() is None
    async with Coordinator(sqlite_url) as coordinator:
        assert coordinator._open_parts().telemetry is None  # noqa: SLF001 - nothing is to be paid
    metrics.set_meter_provider(NoOpMeterProvider())
    assert meter_provider_in_use() is None


@on_a_loop
async def test_without_a_tracer_provider_no_span_is_current_in_an_attempt(
    sqlite_url: str, counted: Counted
) -> None:
    found = []

    @step(name="metrics.look", effect="read")
    async def look() -> None:
        found.append(trace.get_current_span().get_span_context().is_valid)

    @saga(name="metrics.looks")
    async def body() -> None:
        await look()

    await run_in(sqlite_url, body)
    assert found == [False]
    assert counted.values("amends.run.duration", "amends.saga.name") == {"metrics.looks": 1}


@on_a_loop
async def test_more_runs_make_no_more_series(sqlite_url: str, counted: Counted) -> None:
    """No label has a run's id, or anything else of which there are ever more."""

    def series() -> int:
        return sum(len(list(metric.data.data_points)) for metric in counted.metrics().values())

    TRIES["count"] = 0
    await run_in(sqlite_url, counted_parent, id="order-1")
    await run_in(sqlite_url, counted_gives_up, id="order-2")
    before = series()
    for number in range(3, 9):
        await run_in(sqlite_url, counted_parent, id=f"order-{number}")
        await run_in(sqlite_url, counted_gives_up, id=f"order-{number}-b")
    assert series() == before
    labels = [
        value for name in counted.metrics() for point in counted.labels(name) for value in point.values()
    ]
    assert not [value for value in labels if "order-" in str(value)]


@on_a_loop
async def test_an_instrument_that_fails_harms_no_run(
    sqlite_url: str, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*given: object) -> None:
        raise RuntimeError(f"no instrument for {given}")

    for name in ("_chosen", "_seconds"):
        monkeypatch.setattr(f"amends.tracing.metrics.{name}", fails)
    monkeypatch.setattr(Metrics, "committed", fails)
    async with Coordinator(sqlite_url) as coordinator:
        TRIES["count"] = 0
        run = await coordinator.start(counted_good)
        assert await run.result() == "good"
    assert counted.points("amends.run.duration") == []


@on_a_loop
async def test_a_lost_lease_is_counted_and_what_came_of_it_once(database_url: str, counted: Counted) -> None:
    """S18: the run ends once more or less, whoever thought that it held it."""
    entered, go_on = asyncio.Event(), asyncio.Event()

    @step(name="metrics.long")
    async def long() -> None:
        entered.set()
        await go_on.wait()

    @saga(name="metrics.lost")
    async def body() -> None:
        await long()

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(body)
        await entered.wait()
        take_away(coordinator, run.id)
        go_on.set()
        await run.result()
    assert counted.values("amends.lease.lost") == {(): 1}
    assert counted.values("amends.run.claimed") == {(): 1}
    assert counted.values("amends.run.duration", "amends.saga.name") == {"metrics.lost": 1}


@on_a_loop
async def test_commits_are_counted_with_their_sizes(database_url: str, counted: Counted) -> None:
    async with Coordinator(database_url) as coordinator:
        TRIES["count"] = 0
        runs = [await coordinator.start(counted_gives_up) for _ in range(3)]
        for run in runs:
            with contextlib.suppress(RunFailed):
                await run.result()
    sizes, durations = counted.values("amends.commit.batch_size"), counted.values("amends.commit.duration")
    assert sizes == durations
    assert counted.sums("amends.commit.batch_size")[()] >= sizes[()] > 0
    assert counted.sums("amends.commit.duration")[()] > 0


@on_a_loop
async def test_gauges_say_what_needs_somebody(database_url: str, counted: Counted) -> None:
    """Parked runs, those that owe something, approvals and their age; nothing once all are closed."""
    clock = VirtualClock()
    async with Coordinator(database_url, clock=clock) as coordinator:
        await coordinator.start(counted_gives_up, "stuck")
        waiting = await coordinator.start(counted_waits)
        await coordinator.run_until_idle()
        clock.advance(timedelta(days=2))
        await coordinator.run_until_idle()
        await coordinator.signal(waiting.id, "word", "yes")
        await coordinator.run_until_idle()
        clock.advance(timedelta(minutes=10))
        values = {name: counted.values(name) for name in GAUGES}
        assert values == {
            "amends.run.parked": {(): 1},
            "amends.compensation.owed": {(): 1},
            "amends.approval.pending": {(): 1},
            "amends.approval.oldest.age": {(): 600},
            "amends.run.active": {(): 0},
        }
        (label,) = {str(point["db.namespace"]) for name in GAUGES for point in counted.labels(name)}
        assert label.endswith("|amends")
    assert {name: counted.values(name) for name in GAUGES} == {name: {} for name in GAUGES}


GAUGES = (
    "amends.run.parked",
    "amends.compensation.owed",
    "amends.approval.pending",
    "amends.approval.oldest.age",
    "amends.run.active",
)


@on_a_loop
async def test_coordinators_of_one_database_are_one_series(
    database_url: str, sqlite_url: str, counted: Counted
) -> None:
    """What they hold is added up, what the database says is told once; another database stands apart."""
    entered, go_on = asyncio.Barrier(3), asyncio.Event()

    @step(name="metrics.held")
    async def hold() -> None:
        await entered.wait()
        await go_on.wait()

    @saga(name="metrics.holds")
    async def body() -> None:
        await hold()

    async with (
        Coordinator(database_url) as first,
        Coordinator(database_url) as second,
        Coordinator(f"{sqlite_url}.other", work=False),
    ):
        runs = [await first.start(body), await second.start(body)]
        await entered.wait()
        active = counted.values("amends.run.active", "db.namespace")
        assert list(active.values()) == [2]
        parked = counted.values("amends.run.parked", "db.namespace")
        assert sorted(parked.values()) == [0, 0]
        go_on.set()
        for run in runs:
            await run.result()


@on_a_loop
async def test_models_are_counted_as_the_conventions_say(sqlite_url: str, counted: Counted) -> None:
    """Tokens, durations and cost; a replay asks nobody, and counts nothing."""
    model = ScriptedModel(["hello"])
    agent = Agent("metrics_agent", model=model)
    clock = VirtualClock()
    async with Coordinator(sqlite_url, clock=clock) as coordinator:
        run = await coordinator.start(agent, "hello?")
        await coordinator.run_until_idle()
        assert await run.result() == "hello"
    tokens = counted.sums("gen_ai.client.token.usage", "gen_ai.token.type", "gen_ai.request.model")
    assert set(tokens) == {("input", model.name), ("output", model.name)}
    (point,) = counted.labels("gen_ai.client.operation.duration")
    assert point["gen_ai.operation.name"] == "chat"
    assert "error.type" not in point
    assert counted.values("gen_ai.client.operation.duration", "gen_ai.request.model") == {model.name: 1}


def test_the_bounds_are_those_of_the_conventions(counted: Counted) -> None:
    made = Metrics(metrics.get_meter_provider())
    made._models.told(  # noqa: SLF001 - told as the journal would
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "m",
            "gen_ai.usage.input_tokens": 10,
            "gen_ai.usage.output_tokens": 5,
            "amends.usage.cost": 0.25,
            "error.type": "builtins.OSError",
        },
        0.5,
        trace.set_span_in_context(trace.INVALID_SPAN),
    )
    (duration,) = counted.points("gen_ai.client.operation.duration")
    assert duration.explicit_bounds == tuple(0.01 * 2**n for n in range(14))
    assert duration.attributes["error.type"] == "builtins.OSError"
    tokens = counted.points("gen_ai.client.token.usage")
    assert tokens[0].explicit_bounds[-1] == 67_108_864
    assert counted.sums("gen_ai.client.token.usage", "gen_ai.token.type") == {"input": 10, "output": 5}
    assert counted.values("amends.model.cost", "gen_ai.request.model") == {"m": 0.25}
