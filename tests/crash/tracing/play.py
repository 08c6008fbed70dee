"""What children do that are traced: they export to the test's receiver over OTLP."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from datetime import timedelta
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from amends.sagas import Coordinator, Run, RunFailed, Status
from tests.crash.plays import ENDED, PLAYS, RESULT_S, Spec
from tests.crash.tracing.tour import tour

CALLER = "GET /tour"


async def begin(spec: Spec) -> int:
    """Start the run, as a web process does, and work on it until the process is killed."""
    async with _coordinator(spec, work=False) as starter:
        with trace.get_tracer("web").start_as_current_span(CALLER):
            await starter.start(tour, id=spec["run"], trace=spec["trace"])
    _flush()
    async with _coordinator(spec) as coordinator:
        await _result(await coordinator.get(spec["run"]))
    return ENDED


async def sleep(spec: Spec) -> int:
    """Go on with the run until it waits for a person, and be killed while it sleeps."""
    async with _coordinator(spec) as coordinator:
        run = await coordinator.get(spec["run"])
        await coordinator.run_until_idle()
        assert await run.status() == Status.WAITING
    os.kill(os.getpid(), signal.SIGKILL)
    return ENDED


async def approve(spec: Spec) -> int:
    """Approve, and go on with the run to its end."""
    async with _coordinator(spec) as coordinator:
        run = await coordinator.get(spec["run"])
        (asked,) = await coordinator.approvals(run_id=run.id)
        with trace.get_tracer("web").start_as_current_span("POST /approve"):
            await coordinator.decide(asked.id, approved=True, by="kim")
        await _result(run)
    _flush()
    return ENDED


async def _result(run: Run[Any]) -> None:
    with contextlib.suppress(RunFailed):
        await run.result(timeout=RESULT_S)


def _flush() -> None:
    provider = trace.get_tracer_provider()
    assert isinstance(provider, TracerProvider)
    provider.force_flush()


def _coordinator(spec: Spec, *, work: bool = True) -> Coordinator:
    """Make a coordinator whose time is ahead of the real one by so many milliseconds."""
    ahead = spec.get("ahead_ms", 0)
    return Coordinator(
        spec["url"],
        work=work,
        resources=spec["participant"],
        lease=timedelta(milliseconds=spec["lease_ms"]),
        grace=timedelta(seconds=2),
        clock=(lambda: time.time_ns() // 1_000_000 + ahead) if ahead else None,
    )


PLAYS["tour begins"] = begin
PLAYS["tour sleeps"] = sleep
PLAYS["tour approved"] = approve
