"""A logging filter that says which run and which trace a record belongs to."""

from __future__ import annotations

import logging

from opentelemetry.trace import SpanContext, get_current_span

from amends.sagas.context import STEP, RunningBody, running_body
from amends.tracing.identity import anchor_id, identity_of, undecided
from amends.tracing.tracer import provider_in_use

NAMES = ("trace_id", "span_id", "run_id", "step", "attempt")


class RunFilter(logging.Filter):
    """Adds `trace_id`, `span_id`, `run_id`, `step` and `attempt` to every record; it drops none.

    In an attempt these are the span that is current, the run, and the attempt; in a saga's body the run and
    its first span; elsewhere the current span alone. What isn't known is empty, so that any formatter can
    name them; what a record has already stays. Put it on handlers, so that it sees the records of every
    logger:

    >>> logging.getLogger().handlers and logging.getLogger().handlers[0].addFilter(RunFilter())
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add what is known; every record passes."""
        for name, value in zip(NAMES, _known(), strict=True):
            if not hasattr(record, name):
                setattr(record, name, value)
        return True


def _known() -> tuple[str, str, str, str, str | int]:
    body = running_body()
    if body is not None:
        return (*_ids(_of_body(body)), body.run.id, "", "")
    trace_id, span_id = _ids(get_current_span().get_span_context())
    step = STEP.get()
    if step is None:
        return trace_id, span_id, "", "", ""
    return trace_id, span_id, step.run_id, step.name, step.attempt


def _of_body(body: RunningBody) -> SpanContext | None:
    """Give the first span of a body's run, where the run is traced."""
    stored, root = body.traced
    identity = None if stored is None else identity_of(stored)
    if identity is None and provider_in_use() is not None:
        identity = undecided(root, sampled=True)
    return None if identity is None else identity.context(anchor_id(body.run.id))


def _ids(context: SpanContext | None) -> tuple[str, str]:
    if context is None or not context.is_valid:
        return "", ""
    return f"{context.trace_id:032x}", f"{context.span_id:016x}"
