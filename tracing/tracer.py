"""Our own tracer: the application's provider, with ids that are derived and sampling that was decided.

In the SDK a tracer's `id_generator` and `sampler` are attributes of the tracer of one scope; those of our
scope are wrapped, once, and nobody else's.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final, TypeGuard

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, SpanKind, Status, StatusCode, Tracer, TracerProvider

from amends.tracing.attempt_span import AttemptSpan
from amends.tracing.span_data import Attributes, SpanData, Value

SCOPE: Final = "amends"
DEEPEST: Final = 8
"""So many proxies may stand around a tracer."""

_wrapping = threading.Lock()


class Unfit(Exception):
    """A provider's tracers don't let ids be given to spans."""


class Given(threading.local):
    """What the span that this thread is about to make must be: its ids, and that it is sampled."""

    trace_id: int = 0
    span_id: int = 0
    on = False


GIVEN: Final = Given()


class GivenIds:
    """Gives the ids that were asked for, and otherwise those of the generator that it stands before."""

    def __init__(self, before: Any) -> None:
        self.before = before

    def generate_span_id(self) -> int:
        """Give a span's id."""
        return GIVEN.span_id if GIVEN.on else int(self.before.generate_span_id())

    def generate_trace_id(self) -> int:
        """Give a trace's id."""
        return GIVEN.trace_id if GIVEN.on else int(self.before.generate_trace_id())

    def is_trace_id_random(self) -> bool:
        """Tell whether a trace's id is random; a derived one isn't."""
        return not GIVEN.on and bool(getattr(self.before, "is_trace_id_random", bool)())


class Decided:
    """Samples what was decided long ago, and otherwise what the sampler that it stands before says."""

    def __init__(self, before: Any) -> None:
        self.before = before

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Mapping[str, Any] | None = None,
        links: Sequence[Link] | None = None,
        trace_state: Any = None,
    ) -> Any:
        """Decide for one span."""
        if not GIVEN.on:
            return self.before.should_sample(
                parent_context, trace_id, name, kind, attributes, links, trace_state
            )
        from opentelemetry.sdk.trace.sampling import Decision, SamplingResult  # noqa: PLC0415 - it is there

        state = trace.get_current_span(parent_context).get_span_context().trace_state
        return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes or {}, state)

    def get_description(self) -> str:
        """Describe it as the one that it stands before."""
        return str(self.before.get_description())


def provider_in_use() -> TracerProvider | None:
    """Give the application's provider; None where it has set none."""
    found = trace.get_tracer_provider()
    return None if isinstance(found, trace.ProxyTracerProvider | trace.NoOpTracerProvider) else found


def tracer_of(provider: TracerProvider) -> Tracer:
    """Give our scope's tracer of a provider, prepared for spans whose ids are given. Raises `Unfit`."""
    tracer = _bare(provider.get_tracer(SCOPE, version("amends")))
    with _wrapping:
        if not isinstance(tracer.id_generator, GivenIds):
            tracer.id_generator = GivenIds(tracer.id_generator)
        if not isinstance(tracer.sampler, Decided):
            tracer.sampler = Decided(tracer.sampler)
    found: Tracer = tracer
    return found


def decide(tracer: Tracer, trace_id: int, name: str, attributes: Mapping[str, Any], parent: Context) -> bool:
    """Ask the application's sampler whether a run is to be traced."""
    asked: Any = tracer
    result = asked.sampler.should_sample(parent, trace_id, name, SpanKind.PRODUCER, attributes, (), None)
    return bool(result.decision.is_sampled())


def emit(tracer: Tracer, data: SpanData, said: AttemptSpan | None = None) -> None:
    """Make a span of the application's provider, which hands it to its processors.

    `said` has what the attempt said of itself that isn't on record.
    """
    context = Context()
    if data.parent is not None:
        context = trace.set_span_in_context(NonRecordingSpan(data.parent), context)
    told = {**(said.unrecorded if said is not None else {}), **data.attributes}
    name, attributes = _text(data.name), _texts(told)
    GIVEN.trace_id, GIVEN.span_id, GIVEN.on = data.context.trace_id, data.context.span_id, True
    try:
        links = [link.to_link(data.context) for link in data.links]
        span = tracer.start_span(name, context, data.kind, attributes, links, data.start)
    finally:
        GIVEN.on = False
    for moment, more, at in data.events:
        span.add_event(_text(moment), _texts(more), at)
    if data.error is not None:
        span.set_status(Status(StatusCode.ERROR, _text(data.error)))
    span.end(data.end)


def _text(text: str) -> str:
    """Give a text as UTF-8 can have it: one that a person typed may hold half a surrogate pair."""
    return text.encode(errors="replace").decode()


def _texts(said: Attributes) -> dict[str, Value]:
    return {_text(key): _clean(value) for key, value in said.items()}


def _clean(value: Value) -> Value:
    if isinstance(value, str):
        return _text(value)
    return tuple(_text(each) for each in value) if _strings(value) else value


def _strings(value: Value) -> TypeGuard[tuple[str, ...]]:
    return isinstance(value, tuple) and all(isinstance(each, str) for each in value)


def _bare(tracer: Any) -> Any:
    """Take away the proxies that stand around a tracer: OpenTelemetry's own, and logfire's."""
    for _ in range(DEEPEST):
        if hasattr(tracer, "id_generator") and hasattr(tracer, "sampler"):
            return tracer
        inside = next(
            (getattr(tracer, name) for name in ("_tracer", "tracer") if hasattr(tracer, name)), None
        )
        if inside is None:
            break
        tracer = inside
    raise Unfit(
        f"the tracer provider in use makes tracers ({type(tracer).__qualname__}) whose spans can't be given "
        "ids; amends needs OpenTelemetry's SDK, or a provider that stands before it, and exports no traces"
    )
