"""A trace as a tree, and on a scale of time on which long pauses are short; pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from amends.tracing.span_data import SpanData

WORKING: Final = ("step", "probe", "compensate")
"""The spans during which something is done; the others tell of pauses, and of the whole."""
SHARE: Final = 0.15
"""Of the time in which something is done, a pause is as long at most on the squeezed scale."""


@dataclass(slots=True)
class Branch:
    """A span, and those that hang on it, by their beginnings."""

    span: SpanData
    below: list[Branch] = field(default_factory=list)


def tree_of(spans: Iterable[SpanData]) -> list[Branch]:
    """Put spans into trees; those whose parent isn't among them are at the top."""
    branches = {span.context.span_id: Branch(span) for span in sorted(spans, key=_place)}
    tops: list[Branch] = []
    for branch in branches.values():
        parent = branch.span.parent
        above = None if parent is None else branches.get(parent.span_id)
        (tops if above is None else above.below).append(branch)
    return tops


def _place(span: SpanData) -> tuple[int, bool, int, str]:
    # A run comes before what happened in it, and what is over first before what began with it.
    return span.start, span.what not in ("anchor", "run", "stretch"), span.end, span.name


class Scale:
    """Places moments on so many columns; what lies between two attempts is squeezed where it is long."""

    def __init__(self, spans: Sequence[SpanData], columns: int) -> None:
        self._columns = columns
        moments = sorted({moment for span in spans for moment in (span.start, span.end)})
        done = [(span.start, span.end) for span in spans if span.what in WORKING]
        gaps = list(pairwise(moments))
        busy = [any(start < end and start <= a and b <= end for start, end in done) for a, b in gaps]
        worked = sum(b - a for (a, b), is_busy in zip(gaps, busy, strict=True) if is_busy)
        longest = max(worked * SHARE, 1.0)
        self._moments, self._lengths, self._at = moments, [b - a for a, b in gaps], [0.0]
        for (a, b), is_busy in zip(gaps, busy, strict=True):
            self._at.append(self._at[-1] + (b - a if is_busy else min(b - a, longest)))

    def column(self, moment: int) -> int:
        """Give a moment's column, from 0 on."""
        total = self._at[-1]
        if not total or moment <= self._moments[0]:
            return 0
        place = min(bisect_right(self._moments, moment) - 1, len(self._lengths) - 1)
        begun, length = self._moments[place], self._lengths[place]
        part = (moment - begun) / length if length else 0.0
        at = self._at[place] + part * (self._at[place + 1] - self._at[place])
        return min(self._columns, round(at / total * self._columns))
