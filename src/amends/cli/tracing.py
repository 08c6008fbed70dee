"""A run's trace from its journal, and from those of the runs below it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from opentelemetry.trace import format_span_id, format_trace_id

from amends.cli.errors import CommandError
from amends.cli.group import ExitCode
from amends.cli.modules import import_given
from amends.cli.output import render, write, write_json
from amends.cli.reading import reading
from amends.cli.trace_tree import picture
from amends.persistence.database import Database
from amends.persistence.errors import RecordUnreadable
from amends.persistence.records import RunRow
from amends.sagas.journal import from_row
from amends.sagas.missing import missing
from amends.sagas.retelling import Going, going_on, retold
from amends.tracing.address import address_of
from amends.tracing.exporting import export
from amends.tracing.span_data import SpanData

MOST = 10_000
"""So many child runs of one run are looked at."""


@dataclass(frozen=True, slots=True)
class Told:
    """What journals tell of a run and those below it: its row, all spans, what goes on in which run."""

    row: RunRow
    spans: list[SpanData]
    going: list[tuple[str, Going]]


def show_trace(url: str, run_id: str, modules: Sequence[str], *, children: bool, json: bool) -> None:
    """Print a run's trace. Raises `CommandError`, `RecordUnreadable`."""
    told = _told(url, run_id, modules, children=children)
    if json:
        write_json([*map(_document, told.spans)])
    else:
        render(*picture(told.row, told.spans, told.going), table=True)


def export_trace(
    url: str,
    run_id: str,
    modules: Sequence[str],
    *,
    children: bool,
    endpoint: str | None,
    service: str | None,
) -> int:
    """Export a run's trace; gives the exit code. Raises `CommandError`, `RecordUnreadable`."""
    told = _told(url, run_id, modules, children=children)
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    try:
        taken = export(told.spans, service=service, endpoint=endpoint)
    except ImportError as missing:
        raise CommandError(str(missing)) from missing
    where = endpoint or "the endpoint of OTEL_EXPORTER_OTLP_ENDPOINT, http://localhost:4318 by default"
    if not taken:
        raise CommandError(f"nothing was exported: {where} takes no spans; is a collector running there?")
    trace = format_trace_id(told.spans[0].context.trace_id)
    write(f"{len(told.spans)} spans of trace {trace} are exported to {where}\n")
    return ExitCode.DONE


def print_url(url: str, run_id: str, template: str) -> None:
    """Print where a run's trace is. Raises `CommandError`."""
    told = _told(url, run_id, (), children=False)
    trace = format_trace_id(told.spans[0].context.trace_id)
    try:
        write(address_of(trace, run_id, template) + "\n")
    except ValueError as problem:
        raise CommandError(str(problem)) from problem


def _told(url: str, run_id: str, modules: Sequence[str], *, children: bool) -> Told:
    import_given(modules)
    with reading(url) as database:
        found = list(_runs(database, run_id, children=children))
        if not found:
            raise missing(run_id, database.removals.tombstones(run_id))
    spans = [span for _, told, _ in found for span in told]
    return Told(found[0][0], spans, [(row.id, going) for row, _, all_going in found for going in all_going])


def _runs(
    database: Database, run_id: str, *, children: bool
) -> Iterator[tuple[RunRow, list[SpanData], list[Going]]]:
    loaded = database.load(run_id)
    if loaded is None:
        return
    if loaded.unreadable:
        raise RecordUnreadable(f"run {run_id!r} can't be read: {loaded.unreadable}")
    entries = [from_row(entry) for entry in loaded.entries]
    yield loaded.run, retold(loaded.run, entries), going_on(loaded.run, entries)
    if children:
        for row in database.runs(parent=run_id, limit=MOST):
            yield from _runs(database, row.id, children=True)


def _document(span: SpanData) -> dict[str, Any]:
    return {
        "trace_id": format_trace_id(span.context.trace_id),
        "span_id": format_span_id(span.context.span_id),
        "parent_span_id": None if span.parent is None else format_span_id(span.parent.span_id),
        "name": span.name,
        "kind": span.kind.name.lower(),
        "start_ns": span.start,
        "end_ns": span.end,
        "error": span.error,
        "attributes": dict(span.attributes),
        "links": [
            {
                "trace_id": format_trace_id(link.trace_id),
                "span_id": format_span_id(link.span_id),
                "type": link.why,
            }
            for link in span.links
        ],
    }
