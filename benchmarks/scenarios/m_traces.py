"""M: what a trace costs: nothing set up, spans exported, and an exporter that hangs."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import AsyncExitStack
from statistics import median
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from amends.sagas import Coordinator, saga, step
from benchmarks.figures import Against, Figure, answer
from benchmarks.stopwatch import Stopwatch

WARM_UP = 10
ROUNDS = 3


class Back(SpanExporter):
    """Counts spans; while `taking` isn't set it hangs."""

    def __init__(self) -> None:
        self.taking = threading.Event()
        self.taking.set()
        self.taken = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Take spans, at once or never."""
        self.taking.wait()
        self.taken += len(spans)
        return SpanExportResult.SUCCESS


@step
async def traced_one(number: int) -> int:
    """Do the least that a step can do."""
    return number + 1


@saga
async def traced_chain(length: int) -> int:
    """Call one step after the other."""
    number = 0
    for _ in range(length):
        number = await traced_one(number)
    return number


async def measure(url: str, size: int) -> list[dict[str, Any]]:
    """Run chains of `size` steps: before there is a provider, with one that exports, with one that hangs."""
    off = await _chains(url, size)
    back, provider = Back(), TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(back))
    trace.set_tracer_provider(provider)
    on = await _chains(url, size)
    exported = back.taken
    back.taking.clear()
    hung = await _chains(url, size)
    back.taking.set()
    return answer(
        Figure("ms_off", "time per step, no tracing", off["ms"], "ms", "", Against.COMMIT),
        Figure("ms_on", "time per step, spans exported", on["ms"], "ms", "", Against.COMMIT),
        Figure("ms_hung", "time per step, exporter hangs", hung["ms"], "ms", "", Against.COMMIT),
        Figure("cpu_off", "CPU per step, no tracing", off["cpu"], "µs"),
        Figure("cpu_on", "CPU per step, spans exported", on["cpu"], "µs"),
        Figure("cpu_hung", "CPU per step, exporter hangs", hung["cpu"], "µs"),
        Figure("spans_per_step", "spans exported per step", exported / on["steps"], ""),
        Figure("close_hung", "closing, exporter hangs", hung["close"], "s", "≤ 2.5"),
    )


async def _chains(url: str, size: int) -> dict[str, float]:
    """Give the medians of a few rounds: milliseconds and CPU microseconds a step, seconds of closing."""
    rounds: list[tuple[float, float]] = []
    async with AsyncExitStack() as stack:
        coordinator = await stack.enter_async_context(Coordinator(url))
        await (await coordinator.start(traced_chain, WARM_UP)).result()
        for _ in range(ROUNDS):
            with Stopwatch() as steps:
                await (await coordinator.start(traced_chain, size)).result()
            rounds.append((steps.seconds / size * 1e3, steps.cpu_seconds / size * 1e6))
        with Stopwatch() as closing:
            await stack.aclose()
    ms, cpu = (median(each) for each in zip(*rounds, strict=True))
    return {"ms": ms, "cpu": cpu, "close": closing.seconds, "steps": size * ROUNDS + WARM_UP}
