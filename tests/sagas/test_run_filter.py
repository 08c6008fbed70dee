"""Which run and which trace a line in a log belongs to."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta

import pytest
from opentelemetry import trace

from amends.sagas import Coordinator, Retry, RunFilter, saga, step
from tests.sagas.running import on_a_loop

NAMES = ("run_id", "step", "attempt", "trace_id", "span_id")
log = logging.getLogger("tests.run_filter")


class Lines(logging.Handler):
    """Keeps what the filter has put on each record, by message."""

    def __init__(self) -> None:
        super().__init__()
        self.addFilter(RunFilter())
        self.said: dict[str, list[tuple[object, ...]]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        found = tuple(getattr(record, name) for name in NAMES)
        self.said.setdefault(record.getMessage(), []).append(found)


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler = Lines()
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield handler
    log.removeHandler(handler)


@step(retry=Retry(attempts=2, wait=timedelta(0)))
async def filtered_twice(tries: str) -> str:
    """Fail once."""
    log.info("in %s", tries)
    log.info("other", extra={"run_id": "my own"})
    FAILED.append(tries)
    if FAILED.count(tries) == 1:
        raise OSError("not yet")
    return tries


@step
def filtered_blocking() -> None:
    log.info("in a thread")


@saga
async def filtered_lines(word: str) -> str:
    log.info("body")
    filtered = await filtered_twice(word)
    await filtered_blocking()
    return filtered


FAILED: list[str] = []


@on_a_loop
async def test_a_line_says_its_run_step_and_attempt(sqlite_url: str, lines: Lines) -> None:
    """Without telemetry too; in threads of blocking steps, and in the body."""
    log.info("before")
    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(filtered_lines, "untraced", id="order-1")
        await run.result()
    assert lines.said["before"] == [("", "", "", "", "")]
    assert lines.said["in untraced"] == [
        ("order-1", "filtered_twice", 1, "", ""),
        ("order-1", "filtered_twice", 2, "", ""),
    ]
    assert lines.said["in a thread"] == [("order-1", "filtered_blocking", 1, "", "")]
    assert set(lines.said["body"]) == {("order-1", "", "", "", "")}


@on_a_loop
async def test_what_a_record_says_itself_stays(sqlite_url: str, lines: Lines) -> None:
    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(filtered_lines, "own")
        await run.result()
    assert {said[0] for said in lines.said["other"]} == {"my own"}
    assert {said[1] for said in lines.said["other"]} == {"filtered_twice"}


def test_elsewhere_a_record_has_the_current_span(lines: Lines) -> None:
    """The filter serves the whole application: a web request's lines have its span."""
    context = trace.SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=trace.TraceFlags(1))
    with trace.use_span(trace.NonRecordingSpan(context)):
        log.info("a request")
    assert lines.said["a request"] == [("", "", "", f"{0xABC:032x}", f"{0xDEF:016x}")]


def test_every_formatter_can_name_what_is_not_known(lines: Lines) -> None:
    record = logging.LogRecord("a", logging.INFO, __file__, 1, "hello", (), None)
    assert lines.filter(record)
    pattern = " ".join(f"[%({name})s]" for name in NAMES)
    assert logging.Formatter(pattern).format(record) == "[] [] [] [] []"
