"""Running a body against a recorded journal: nothing is executed, and nothing is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from amends.persistence.records import Cause, RunRow
from amends.sagas.errors import DefinitionError, InputInvalid, NonDeterminism
from amends.sagas.exported import ExportedRun, load_run
from amends.sagas.failure import Failure
from amends.sagas.journal import Entry, Kind
from amends.sagas.news import Turn
from amends.sagas.rerunning import LAST, rerun
from amends.sagas.run import LiveRun
from amends.sagas.saga import Saga
from amends.sagas.step_record import Phase

SHOWN = 300


class Replayed(StrEnum):
    """How far a replay came."""

    ENDED = "ended"
    """The body came to its end, as the journal says."""
    TURNED = "turned"
    """The body went as far as the journal says; there the run was cancelled, or its deadline passed."""
    WAITING = "waiting"
    """The journal is at its end, and the body waits."""


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What a replay found: how far it came, over how many entries, and what the body waits for there."""

    saga: str
    run_id: str
    came: Replayed
    entries: int
    waits_for: tuple[str, ...] = ()

    def __str__(self) -> str:
        told = f"{self.saga}, run {self.run_id!r}: replayed {self.entries} entries"
        if self.came is Replayed.WAITING:
            return f"{told}; it waits for {', '.join(self.waits_for) or 'nothing that can come'}"
        ends = "to its end" if self.came is Replayed.ENDED else "until the run was cancelled or overdue"
        return f"{told}, {ends}"


def replay(
    saga: Callable[..., Any],
    journal: Sequence[Entry] | Mapping[str, Any] | str | bytes | ExportedRun,
    *,
    input: Any = (),
    run_id: str = "replayed",
) -> ReplayReport:
    """Run a saga's body against a recorded journal, to see that today's code still does what is recorded.

    Nothing is executed. `journal` is what `await run.journal()` gives, or a run exported by
    `await run.export()` or `amends export` (the document, or its JSON text). An exported run knows its input
    and id; for bare entries, `input` is the saga's argument, or a tuple of its arguments, and `run_id`
    matters to bodies that use `random()`.

    Raises `NonDeterminism`, showing both sides, when the body asks for something else than the journal says,
    `RecordUnreadable` when a record doesn't fit today's annotations, and `InputInvalid`.

    >>> print(replay(fulfil_order, Path("tests/golden/order-7.json").read_text()))
    """
    if not isinstance(saga, Saga):
        raise DefinitionError(f"{saga!r} is not a saga; decorate it with @saga")
    row, entries = _source(saga, journal, input, run_id)
    with rerun(saga, row, entries) as again:
        live, turn, count = again.live, again.turn, len(again.entries)
        last = entries[count] if len(entries) > count else None
        came = _compare_end(live, turn, last)
        waits = _waits(live, turn) if came is Replayed.WAITING else ()
        return ReplayReport(saga.name, row.id, came, count, waits)


def _source(
    saga: Saga[..., Any],
    journal: Sequence[Entry] | Mapping[str, Any] | str | bytes | ExportedRun,
    input: Any,
    run_id: str,
) -> tuple[RunRow, list[Entry]]:
    if isinstance(journal, Mapping | str | bytes):
        journal = load_run(journal)
    if isinstance(journal, ExportedRun):
        if journal.row.saga != saga.name:
            raise InputInvalid(f"the journal is of saga {journal.row.saga!r}, not of {saga.name!r}")
        row, entries = journal.row, journal.entries
    else:
        entries = list(journal)
        data = saga.arguments.encode(input if isinstance(input, tuple) else (input,), {})
        row = _row(saga, run_id, data, entries[0].at if entries else 0)
    return row, entries


def _row(saga: Saga[..., Any], run_id: str, data: bytes, created_at: int) -> RunRow:
    return load_run(
        {
            "format": 1,
            "run": {
                "id": run_id,
                "saga": saga.name,
                "version": saga.version,
                "status": "open",
                "input": data.decode(),
                "created_at": created_at,
            },
            "entries": [],
        }
    ).row


def _compare_end(live: LiveRun, turn: Turn, last: Entry | None) -> Replayed:
    """Compare how the body ends with how the journal does. Raises `NonDeterminism`."""
    if last is None:
        body = live.body
        return Replayed.ENDED if body is None or body.returned else Replayed.WAITING
    if last.kind is Kind.SWITCH and last.meta.get("cause") != Cause.ERROR:
        return Replayed.TURNED
    recorded = f"journal entry {last.seq} says: {_ended(last)}"
    found = next((entry for entry in turn.entries if entry.kind in LAST), None)
    if found is None:
        raise NonDeterminism(f"{recorded}; the body {_still(live, turn)}")
    if _ended(found) != _ended(last):
        raise NonDeterminism(f"{recorded}; the body: {_ended(found)}")
    return Replayed.ENDED


def _ended(entry: Entry) -> str:
    """Say how a body ended, in words that are the same where it ended alike."""
    payload = entry.payload
    if entry.kind is Kind.SWITCH:
        failure = Failure.from_json(payload or b"{}")
        return f"raised {failure.type}: {_short(failure.message)}"
    result = None if payload is None else json.loads(payload)
    return f"returned {_short(json.dumps(result, sort_keys=True))}"


def _still(live: LiveRun, turn: Turn) -> str:
    asks = [f"{attempt.name}({_short(attempt.arguments.decode())})" for attempt in turn.attempts]
    return (
        f"asks for {', '.join(asks)}" if asks else f"waits for {', '.join(_waits(live, turn)) or 'nothing'}"
    )


def _waits(live: LiveRun, turn: Turn) -> tuple[str, ...]:
    waits = [f"step {attempt.name} ({attempt.ref})" for attempt in turn.attempts if not attempt.undoing]
    for step in live.history.active.values():
        told = f"step {step.name} ({step.ref})"
        if step.phase is Phase.WAITING:
            waits.append(f"attempt {step.attempt} of {told}")
        elif told not in waits:
            waits.append(told if step.moving else f"the compensation of {step.name} ({step.ref})")
    timer = None if live.body is None else live.body.loop.next_due_ms()
    return (
        *waits,
        *(() if timer is None else (f"a timer, due {(timer - live.row.created_at) / 1000:g} s in",)),
    )


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
