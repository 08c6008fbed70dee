"""Which compensations are still owed by runs that go on: what a deployment must not leave behind (S21)."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Container, Iterable
from dataclasses import dataclass

from amends.persistence.records import EntryRow
from amends.sagas.handle import fold
from amends.sagas.journal import from_row


@dataclass(frozen=True, slots=True)
class Owed:
    """A compensation that runs which haven't ended would need, or need already.

    `handler` is its `name@version`, `runs` how many runs there are, `example` the id of one, and `here`
    tells whether this process defines it.
    """

    handler: str
    runs: int
    example: str
    here: bool


def owed_by(rows: Iterable[EntryRow], defined: Container[str]) -> list[Owed]:
    """Sum up the journals of runs, run after run in the order of entries; one of them is held at a time.

    Raises `RecordUnreadable`.
    """
    examples: dict[str, str] = {}
    runs: Counter[str] = Counter()
    for run_id, entries in itertools.groupby(rows, key=lambda row: row.run_id):
        history = fold([from_row(row) for row in entries])
        for handler in {step.handler for step in history.steps.values() if step.owed and step.handler}:
            examples.setdefault(handler, run_id)
            runs[handler] += 1
    return [Owed(name, runs[name], examples[name], name in defined) for name in sorted(runs)]
