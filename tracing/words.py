"""How steps and sagas with a vocabulary of their own are told in traces: models, tools, agents."""

from __future__ import annotations

from typing import Protocol

from opentelemetry.trace import SpanKind

from amends.tracing.span_data import Attributes


class Words(Protocol):
    """What a span is called, and what it says beside what every span says. Both follow from the record."""

    @property
    def kind(self) -> SpanKind:
        """The span's kind: `CLIENT` for a call that leaves the process."""

    def title(self, arguments: bytes) -> str:
        """Give the span's name; `arguments` are JSON, nothing for a run."""

    def attributes(self, arguments: bytes, result: bytes | None) -> Attributes:
        """Give what it says; `arguments` and `result` are JSON, `result` is None where there is none."""
