"""What a child of the zygote does, by name; the exit code says how it went."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Coroutine, Mapping
from datetime import timedelta
from typing import Any

from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider

import amends.tracing
from amends.sagas import ActionRefused, Coordinator, Run, RunEnded, RunFailed, RunParked, retention
from amends.sagas.registry import saga_named
from tests.crash.callers import decide, say
from tests.crash.clocks import go_by
from tests.crash.participant import Participant
from tests.crash.people import PERSON, person_acts
from tests.crash.points import KILL, Points

ENDED = 0
UNENDED = 3
PARKED = 4
RESULT_S = 40.0
MOST_ACTS = 5
AT_ONCE = 8

Spec = Mapping[str, Any]


async def drive(spec: Spec) -> int:
    """Start a run, or go on with it, until it has ended or is parked and nobody helps it."""
    async with _coordinator(spec) as coordinator:
        run: Run[Any] = await coordinator.start(saga_named(spec["saga"]), id=spec["run"])
        interfering = asyncio.create_task(_interfere(coordinator, run, spec))
        try:
            code = await _result(run)
            for _ in range(MOST_ACTS):
                if not await person_acts(coordinator, run, spec, parked=code == PARKED):
                    break
                code = await _result(run)
            if spec["number"]:
                # What a woken worker had to say may have gone to a run below: it is heard all the way up.
                await coordinator.run_until_idle()
                code = await _result(run)
        finally:
            interfering.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await interfering
    return code


async def _result(run: Run[Any]) -> int:
    try:
        await run.result(timeout=RESULT_S)
    except RunParked:
        return PARKED
    except RunFailed:
        pass
    return ENDED


async def work(spec: Spec) -> int:
    """Start some runs, if any, and work until told to end by SIGTERM or SIGINT."""
    over = asyncio.current_task()
    assert over is not None
    if spec.get("handle", True):
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        async with _coordinator(spec) as coordinator:
            await _start_all(coordinator, spec)
            await asyncio.Event().wait()
    return ENDED


async def start(spec: Spec) -> int:
    """Start runs, all at once, some of them several times, and end without waiting for them."""
    async with _coordinator(spec) as coordinator:
        await _start_all(coordinator, spec)
    return ENDED


async def tell(spec: Spec) -> int:
    """Send messages to keyed runs, several at a time, starting those that aren't there."""
    async with _coordinator(spec) as coordinator:
        named, places = saga_named(spec["saga"]), asyncio.Semaphore(AT_ONCE)

        async def one(run: str, number: int) -> None:
            async with places:
                await coordinator.signal_or_start(
                    named,
                    spec["most"],
                    id=run,
                    name="book",
                    payload=f"{spec['teller']}-{number}",
                    message_id=f"message-{number}",
                )

        await asyncio.gather(*(one(run, number) for number in spec["numbers"] for run in spec["runs"]))
    return ENDED


async def plan(spec: Spec) -> int:
    """Put a schedule that occurs every second, and end."""
    async with _coordinator(spec) as coordinator:
        await coordinator.schedules.put(
            spec["schedule"],
            saga_named(spec["saga"]),
            every=timedelta(seconds=1),
            catch_up="all",
            overlap=spec.get("overlap", "allow"),
        )
    return ENDED


async def collect(spec: Spec) -> int:
    """Remove what ended more than an hour ago, so many runs in one transaction."""
    retention.TOGETHER = spec["together"]
    async with _coordinator(spec) as coordinator:
        await coordinator.gc(older_than=timedelta(hours=1), undoable_older_than=timedelta(hours=1))
    return ENDED


async def _start_all(coordinator: Coordinator, spec: Spec) -> None:
    named = saga_named(spec["saga"])
    await asyncio.gather(*(coordinator.start(named, id=run) for run in spec.get("runs", ())))


async def _interfere(coordinator: Coordinator, run: Run[Any], spec: Spec) -> None:
    """Say what there is to say to the run; cancel or abort it once a call was sent, a later child at once."""
    deciding = asyncio.create_task(decide(coordinator, run, spec))
    try:
        await say(coordinator, run, spec)
        await _stop(coordinator, run, spec)
        await deciding
    finally:
        deciding.cancel()


async def _stop(coordinator: Coordinator, run: Run[Any], spec: Spec) -> None:
    name = spec.get("stop_at")
    if name is None:
        return
    if not spec["number"]:
        await spec["participant"].sent(name).wait()
    with contextlib.suppress(RunEnded, ActionRefused):
        if spec["act"] == "abort":
            await coordinator.operator(PERSON).abort(run.id)
        else:
            await run.cancel("the test says so")


def _coordinator(spec: Spec) -> Coordinator:
    return Coordinator(
        spec["url"],
        work=spec.get("work", True),
        sagas=[saga_named(name) for name in spec["serves"]] if "serves" in spec else None,
        resources=spec["participant"],
        lease=timedelta(milliseconds=spec.get("lease_ms", 3_000)),
        grace=timedelta(seconds=spec.get("grace", 2)),
        poison_after=spec.get("poison_after", 5),
        max_running=spec.get("max_running", 10_000),
    )


PLAYS: dict[str, Callable[[Spec], Coroutine[Any, Any, int]]] = {
    "drive": drive,
    "work": work,
    "start": start,
    "tell": tell,
    "plan": plan,
    "collect": collect,
}


def play(spec: dict[str, Any]) -> int:
    """Do what a spec says; what is in it beside that is the play's own."""
    points = Points(
        spec["points"],
        at=spec.get("at", 0),
        how=spec.get("how", KILL),
        only=spec.get("only", ""),
        holding=spec.get("holding", ""),
    )
    points.watch_commits()
    if "clock" in spec:
        go_by(spec["clock"])
    if "otlp" in spec:
        _export(spec)
    spec["participant"] = Participant(spec["world"], points)
    try:
        return asyncio.run(PLAYS[spec["play"]](spec))
    except TimeoutError:
        return UNENDED
    except KeyboardInterrupt:
        return ENDED
    finally:
        if "metrics" in spec:
            provider = metrics.get_meter_provider()
            assert isinstance(provider, MeterProvider)
            provider.force_flush()


def _export(spec: dict[str, Any]) -> None:
    """Export spans, and metrics where a spec says how often, in milliseconds."""
    if "metrics" in spec:
        os.environ["OTEL_METRIC_EXPORT_INTERVAL"] = str(spec["metrics"])
        os.environ["OTEL_RESOURCE_ATTRIBUTES"] = f"amends.test.run={spec['run']}"
    amends.tracing.configure(service=spec["play"], endpoint=spec["otlp"], metrics="metrics" in spec)
