"""What an application's provider has exported in this process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


@dataclass(frozen=True, slots=True)
class Seen:
    """The spans that were exported so far; a closed coordinator has exported all of its own."""

    exporter: InMemorySpanExporter

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    @property
    def names(self) -> list[str]:
        """Give the names, sorted."""
        return sorted(span.name for span in self.spans)

    def one(self, name: str) -> ReadableSpan:
        """Give the one span of a name. Raises `AssertionError` where it isn't one."""
        found = [span for span in self.spans if span.name == name]
        assert len(found) == 1, f"{name!r} among {self.names}"
        return found[0]

    def forget(self) -> None:
        """Begin anew."""
        self.exporter.clear()


def ids(span: ReadableSpan) -> tuple[int, int]:
    """Give trace and span."""
    assert span.context is not None
    return span.context.trace_id, span.context.span_id


def above(span: ReadableSpan) -> int | None:
    """Give the parent's id."""
    return None if span.parent is None else span.parent.span_id


def said(span: ReadableSpan) -> Mapping[str, Any]:
    """Give the attributes."""
    return span.attributes or {}


def links(span: ReadableSpan) -> list[tuple[str, int]]:
    """Give the links: why, and to which span."""
    return [(str((link.attributes or {})["amends.link.type"]), link.context.span_id) for link in span.links]
