"""A span as plain data, before it becomes one of the provider's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from opentelemetry.trace import Link, SpanContext, SpanKind

NS: Final = 1_000_000
"""Nanoseconds in a millisecond."""
SHORTEST: Final = 1_000
"""Nanoseconds that a span lasts at least: Jaeger warns of one without length."""
MARK: Final = NS
"""Nanoseconds that the mark of a pause lasts."""

What = Literal["anchor", "run", "step", "probe", "compensate", "waiting", "wait", "stretch"]
Value = str | bool | int | float | tuple[str, ...]
Attributes = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class SpanLink:
    """A link to another span, and why: `retry_of`, `compensates`, `started_by`, `sent_by`, `part_of`."""

    trace_id: int
    span_id: int
    why: str

    def to_link(self, like: SpanContext) -> Link:
        """Give it as OpenTelemetry has it, with the flags of `like`."""
        to = SpanContext(self.trace_id, self.span_id, is_remote=True, trace_flags=like.trace_flags)
        return Link(to, {"amends.link.type": self.why})


@dataclass(frozen=True, slots=True)
class SpanData:
    """A span that has ended; times are nanoseconds since the epoch. `error` says why it failed, if it did.

    `events` are name, attributes and time. `what` tells which of the spans of a run it is.
    """

    what: What
    context: SpanContext
    parent: SpanContext | None
    name: str
    start: int
    end: int
    attributes: Attributes = field(default_factory=dict)
    links: tuple[SpanLink, ...] = ()
    kind: SpanKind = SpanKind.INTERNAL
    error: str | None = None
    events: tuple[tuple[str, Attributes, int], ...] = ()


def lasting(start_ms: int, end_ms: int) -> tuple[int, int]:
    """Give a span's times in nanoseconds: it ends after it starts, whatever the clocks said."""
    start = start_ms * NS
    return start, max(end_ms * NS, start + SHORTEST)
