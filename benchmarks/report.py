"""The table: absolute figures, what they are of the store's limit, and the targets."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.figures import Figure, Limits
from benchmarks.scenarios import SCENARIOS

HEADINGS = ("", "measured", "to the limit", "target")

Cells = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Measured:
    """What one scenario gave: its figures, or the complaint of the process that failed."""

    letter: str
    size: int
    figures: tuple[Figure, ...] = ()
    failure: str | None = None

    @property
    def title(self) -> str:
        """The scenario in words."""
        return f"{self.letter}  {SCENARIOS[self.letter].title.format(self.size)}"


@dataclass(frozen=True, slots=True)
class Section:
    """All scenarios on one store and disk, with the store's limits from the same run."""

    store: str
    version: str
    disk: str
    limits: Limits
    scenarios: tuple[Measured, ...]

    @property
    def title(self) -> str:
        """The store, the disk and the limits in one line."""
        commits, rows = self.limits.commits_per_second, self.limits.rows_per_second
        limits = f"{commits:,.0f} one-row commits/s, {rows:,.0f} rows/s grouped"
        return f"{self.store} {self.version}, {self.disk} disk: {limits}"


def show(section: Section) -> None:
    """Print a section: a drawn table on a terminal, aligned text elsewhere."""
    if sys.stdout.isatty():
        _draw(section)
        return
    rows = [HEADINGS, *(row for measured in section.scenarios for row in _rows(measured, section.limits))]
    widths = [
        max(len(row[column]) for row in rows if row[1:] != ("", "", "")) for column in range(len(HEADINGS))
    ]
    print(f"\n{section.title}\n")
    for label, *others in rows:
        cells = [
            label.ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)),
        ]
        print("  ".join(cells).rstrip())


def as_json(facts: Mapping[str, str], sections: Iterable[Section]) -> dict[str, Any]:
    """Give everything as plain data, each figure with its ratio."""
    return {"machine": dict(facts), "sections": [_section(section) for section in sections]}


def _section(section: Section) -> dict[str, Any]:
    return {
        "store": section.store,
        "version": section.version,
        "disk": section.disk,
        "commits_per_second": section.limits.commits_per_second,
        "rows_per_second": section.limits.rows_per_second,
        "scenarios": {
            measured.letter: {
                "size": measured.size,
                "failure": measured.failure,
                "figures": {
                    figure.key: {
                        "value": figure.value,
                        "unit": figure.unit,
                        "ratio": section.limits.ratio(figure),
                        "target": figure.target,
                    }
                    for figure in measured.figures
                },
            }
            for measured in section.scenarios
        },
    }


def _draw(section: Section) -> None:
    from rich.console import Console  # noqa: PLC0415 - only a terminal needs it
    from rich.table import Table  # noqa: PLC0415

    table = Table(title=section.title, title_justify="left")
    for number, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="right" if number else "left")
    for measured in section.scenarios:
        table.add_section()
        for row in _rows(measured, section.limits):
            table.add_row(*row, style="bold" if row[1:] == ("", "", "") else "")
    Console().print(table)


def _rows(measured: Measured, limits: Limits) -> Iterable[Cells]:
    yield (measured.title, "", "", "")
    if measured.failure is not None:
        yield (f"   failed: {measured.failure.strip().splitlines()[-1]}", "", "", "")
    for figure in measured.figures:
        ratio = limits.ratio(figure)
        against = "" if ratio is None else f"{ratio:.2f} {figure.against}"
        value = f"{readable(figure.value)} {figure.unit}".rstrip()
        yield (f"   {figure.label}", value, against, figure.target)


def readable(value: float) -> str:
    """Write a number with about three digits that count.

    >>> readable(12345.6), readable(12.34), readable(0.0123), readable(3)
    ('12,346', '12.3', '0.012', '3')
    """
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3f}"
