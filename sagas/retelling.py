"""A run's trace, told anew from its journal; nothing is executed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from amends.persistence.records import RunRow
from amends.sagas.journal import Entry
from amends.sagas.telemetry import followed
from amends.sagas.trail import Trail, identity_in, trail_of
from amends.tracing.span_data import SpanData


@dataclass(frozen=True, slots=True)
class Going:
    """What goes on in a run just now, and hasn't a span yet: its name, and since when, in milliseconds."""

    name: str
    since: int


def retold(row: RunRow, entries: Sequence[Entry]) -> list[SpanData]:
    """Give the spans of a run: its creation, and all that its journal concludes.

    What models were asked isn't in it, even where content is shown; whether it is sampled doesn't matter.
    """
    return _followed(row, entries)[0]


def going_on(row: RunRow, entries: Sequence[Entry]) -> list[Going]:
    """Give what is under way in a run, due, or waited for, as far as its journal and its row tell."""
    if row.ended_at is not None:
        return []
    trail = _followed(row, entries)[1]
    found = []
    for call in trail.calls.values():
        for verb, attempt in (("step", call.forward), ("compensate", call.backward)):
            if attempt is not None:
                found.append(Going(f"{verb} {call.name}, attempt {attempt.attempt}", attempt.since))
    if row.waits_for is not None or (not found and row.owner is None):
        last = entries[-1].at if entries else row.created_at
        found.append(Going(f"waiting for {row.waits_for or 'its time'}", last))
    return found


def _followed(row: RunRow, entries: Sequence[Entry]) -> tuple[list[SpanData], Trail]:
    trail = trail_of(row, identity_in(row))
    return [trail.spans.anchor(), *(each.span for each in followed(trail, entries))], trail
