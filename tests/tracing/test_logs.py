"""Lines of a log lead to the spans under which they were logged."""

from __future__ import annotations

import logging

import pytest

from amends.sagas import Coordinator, RunFilter, saga, step
from tests.sagas.running import on_a_loop
from tests.tracing.seen import Seen

log = logging.getLogger("tests.tracing.logs")


@step
async def logged_step() -> None:
    log.info("step")


@saga
async def logged_saga() -> None:
    log.info("body")
    await logged_step()


@on_a_loop
async def test_lines_lead_to_spans(database_url: str, seen: Seen, caplog: pytest.LogCaptureFixture) -> None:
    """An attempt's lines have the attempt's span, a body's the run's first."""
    caplog.handler.addFilter(RunFilter())
    with caplog.at_level(logging.INFO, logger=log.name):
        async with Coordinator(database_url) as coordinator:
            run = await coordinator.start(logged_saga)
            await run.result()
    found = {record.getMessage(): record for record in caplog.records if record.name == log.name}
    for message, name in (("step", "step logged_step"), ("body", "start logged_saga")):
        span, record = seen.one(name), found[message]
        assert span.context is not None
        assert record.trace_id == f"{span.context.trace_id:032x}"  # type: ignore[attr-defined]
        assert record.span_id == f"{span.context.span_id:016x}"  # type: ignore[attr-defined]
        assert record.run_id == run.id  # type: ignore[attr-defined]
