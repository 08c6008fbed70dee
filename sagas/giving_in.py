"""Parking a run whose turn can't be made or written: a write without a turn, pure."""

from __future__ import annotations

from collections.abc import Sequence

from amends.persistence.records import RunChange, Write
from amends.persistence.records import Status as Stored
from amends.sagas import notices, parents, reports
from amends.sagas.held import Held
from amends.sagas.journal import Entry, Kind


def given_in(held: Held, reason: str, notifiers: Sequence[str], now: int) -> Write:
    """Park a run whose record may be broken, behind what is known to be written; tell who is to be told."""
    row, seq = held.run.row, held.written + 1
    entry = Entry(seq, Kind.PARKED, now, meta={"reason": reason, "lost": True})
    return Write(
        row.id,
        epoch=held.epoch,
        entries=(entry.to_row(row.id),),
        change=RunChange(Stored.PARKED, row.cause, row.result, row.error, release=True),
        starts=(
            *reports.parked(held.run.saga, row, seq, now, reason, ()),
            *notices.parked(notifiers, row, seq, now, reason, ()),
        ),
        tells=parents.tell_parked(row, reason, seq, now),
    )
