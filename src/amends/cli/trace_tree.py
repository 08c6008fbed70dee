"""The picture of a trace: a tree, and beside it a bar for each span."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from rich.console import ConsoleRenderable
from rich.table import Table
from rich.text import Text

from amends.cli.output import plain
from amends.persistence.records import RunRow
from amends.sagas.retelling import Going
from amends.tracing.rebuild import Branch, Scale, tree_of
from amends.tracing.span_data import NS, SpanData

COLUMNS = 28
"""Characters of the scale of time."""
BARS = {"wait": "░", "run": "─", "compensate": "◄", "anchor": "", "waiting": "", "stretch": ""}
"""What a span's bar is made of; an attempt's are whole blocks."""
S, MIN = 1_000, 60_000


def picture(
    row: RunRow, spans: Sequence[SpanData], going: Iterable[tuple[str, Going]]
) -> Iterator[ConsoleRenderable]:
    """Draw a run's trace, with what goes on in it just now."""
    trace = f"{spans[0].context.trace_id:032x}"
    began = datetime.fromtimestamp(row.created_at / 1000, UTC)
    head = (
        f"trace {trace}, run {row.id}: {row.saga}@{row.version}, {row.status}; {began:%Y-%m-%d %H:%M:%S} UTC"
    )
    yield plain(head)
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, overflow="ellipsis")
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    over = {span.attributes.get("amends.wait.kind") for span in spans if span.what == "wait"}
    shown = [s for s in spans if s.what != "waiting" or s.attributes.get("amends.wait.kind") not in over]
    scale, first = Scale(shown, COLUMNS), min(span.start for span in shown)
    under = {run_id: [each for of, each in going if of == run_id] for run_id in {of for of, _ in going}}
    for top in tree_of(shown):
        _add(table, top, "", "", scale, first, under)
    yield table


def _add(
    table: Table,
    branch: Branch,
    before: str,
    below: str,
    scale: Scale,
    first: int,
    under: dict[str, list[Going]],
) -> None:
    span = branch.span
    style = "red" if span.error is not None else "dim" if span.what in ("wait", "waiting", "anchor") else ""
    name = Text(before) + plain(_named(span), style)
    took = "" if span.what in ("anchor", "waiting", "stretch") else _words(span.end - span.start)
    table.add_row(name, f"+{_words(span.start - first)}", took, Text(_bar(span, scale), style=style))
    goings = under.get(str(span.attributes["amends.run.id"]), []) if span.what == "anchor" else []
    places = len(branch.below) + len(goings)
    for number, each in enumerate(branch.below, 1):
        last = number == places
        _add(
            table,
            each,
            below + ("└─ " if last else "├─ "),
            below + ("   " if last else "│  "),
            scale,
            first,
            under,
        )
    for number, going in enumerate(goings, len(branch.below) + 1):
        mark = "└─ " if number == places else "├─ "
        since = f"+{_words(going.since * NS - first)}"
        table.add_row(Text(below + mark) + plain(going.name, "bold"), since, "…", "")


def _named(span: SpanData) -> str:
    said = span.attributes
    words = [span.name]
    if span.what in ("step", "compensate") and said["amends.step.attempt"] != 1:
        words.append(f"(attempt {said['amends.step.attempt']})")
    if (
        span.what in ("wait", "waiting")
        and said.get("amends.wait.name")
        and said["amends.wait.kind"] != "signal"
    ):
        words.append(f"{said['amends.wait.name']!r}")
    if span.what == "wait":
        by = said.get("amends.wait.actor")
        words.append(f"→ {said['amends.wait.outcome']}" + (f" by {by}" if by else ""))
    if span.what == "run":
        words.append(f"→ {said['amends.run.status']}")
    if "error.type" in said:
        words.append(f"✗ {said['error.type']}")
    return " ".join(words)


def _bar(span: SpanData, scale: Scale) -> str:
    sign = BARS.get(span.what, "█")
    start, end = scale.column(span.start), scale.column(span.end)
    if not sign:
        return " " * start + "▏"
    return " " * min(start, COLUMNS - 1) + sign * max(end - start, 1)


def _words(ns: int) -> str:
    """Say how long something took, in the two largest units."""
    ms = round(ns / NS)
    if ms < S:
        return f"{ms} ms"
    if ms < MIN:
        return f"{ms / S:.1f} s"
    length = timedelta(milliseconds=ms)
    hours, rest = divmod(length.seconds, 3_600)
    if length.days:
        return f"{length.days} d {hours} h"
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s"
