"""Traces across process borders: a run's identity when it is created, and the caller's span in messages."""

from __future__ import annotations

from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from amends.tracing.identity import LONGEST_STATE, Identity, Trace, TraceMode
from amends.tracing.ids import trace_id_of
from amends.tracing.tracer import decide

W3C: Final = TraceContextTextMapPropagator()
HEADER: Final = "traceparent"
"""The name under which a message carries its sender's span."""


def born(
    tracer: Tracer,
    run_id: str,
    created_at: int,
    name: str,
    attributes: dict[str, Any],
    *,
    how: Trace = "link",
    mode: TraceMode = "whole",
) -> Identity:
    """Decide which trace a new run belongs to, and whether it is sampled; once for all its life.

    With `how="join"`, under a caller's span, that span's trace; a trace of its own otherwise.
    """
    current = trace.get_current_span().get_span_context()
    caller = (current.trace_id, current.span_id) if current.is_valid else None
    joined = how == "join" and caller is not None
    trace_id = current.trace_id if joined else trace_id_of(run_id, str(created_at))
    # A run with a trace of its own begins one: what its caller's trace decided isn't about it.
    parent = trace.set_span_in_context(NonRecordingSpan(current), Context()) if joined else Context()
    state = current.trace_state.to_header() if joined else ""
    return Identity(
        trace_id,
        decide(tracer, trace_id, name, attributes, parent),
        caller,
        joined=joined,
        linked=mode == "linked",
        state=state if len(state) <= LONGEST_STATE else "",
    )


def sampled(tracer: Tracer, run_id: str, name: str) -> bool:
    """Ask for a run of which nobody has decided it; by ratio, all processes say the same of an id."""
    return decide(tracer, trace_id_of(run_id), name, {}, Context())


def sender() -> str | None:
    """Give the traceparent of the span that is current, for a message to carry; None where there is none."""
    current = trace.get_current_span().get_span_context()
    if not current.is_valid:
        return None
    return f"00-{current.trace_id:032x}-{current.span_id:016x}-{current.trace_flags:02x}"


def sent_by(traceparent: object) -> tuple[int, int] | None:
    """Read the trace and span of what `sender` gave; None for what isn't that."""
    if not isinstance(traceparent, str):
        return None
    found: SpanContext = trace.get_current_span(
        W3C.extract({HEADER: traceparent}, Context())
    ).get_span_context()
    return (found.trace_id, found.span_id) if found.is_valid else None
