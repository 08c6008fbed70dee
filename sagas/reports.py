"""The runs that are started with a run's end, or when it is parked: those of its handlers, pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from amends.persistence.records import NewRun, RunRow
from amends.persistence.records import Status as Stored
from amends.sagas.failure import Failure
from amends.sagas.new_runs import started_by

if TYPE_CHECKING:
    from amends.sagas.handling import Handling
    from amends.sagas.run import LiveRun
    from amends.sagas.saga import Saga


def ended(run: LiveRun, status: Stored, now: int, result: bytes | None) -> None:
    """Have those told whom the saga names, with the turn that ends the run."""
    if run.saga is None:
        return
    history = run.history
    completed = status is Stored.COMPLETED
    facts: dict[str, Any] = {
        "status": status.value,
        "cause": None if history.cause is None else history.cause.value,
        "error": None if history.error is None else _words(history.error),
    }
    handling = run.saga.on_complete if completed else run.saga.on_failure
    said = result if completed else None
    run.draft.start(*_started(handling, run.row, history.seq, now, facts, said))


def parked(
    saga: Saga[..., Any] | None, row: RunRow, seq: int, now: int, reason: str, owed: Sequence[str]
) -> list[NewRun]:
    """Give the runs of those who are told that a run is parked."""
    if saga is None:
        return []
    facts = {"status": Stored.PARKED.value, "reason": reason, "owed": list(owed)}
    return _started(saga.on_parked, row, seq, now, facts, None)


def _started(
    handling: Handling[Any], row: RunRow, seq: int, now: int, facts: dict[str, Any], result: bytes | None
) -> list[NewRun]:
    """Make a run for each handler. Its id is the run's and the number of the entry that it tells of."""
    handlers = list(handling)
    if not handlers:
        return []
    at = dt.datetime.fromtimestamp(now / 1000, dt.UTC)
    said = {"run_id": row.id, "saga": row.saga, "version": row.version, "at": at, **safe(facts)}
    # The result as it stands in the journal: nothing of it is to change on its way.
    report = to_json(said)[:-1] + b',"result":' + (result or b"null") + b"}"
    return [
        started_by(
            row,
            NewRun(
                f"{row.id}/{handler.name}/{seq}",
                handler.name,
                handler.version,
                to_json({handler.arguments.names[0]: None})[:-5] + report + b"}",
                now,
            ),
        )
        for handler in handlers
    ]


def _words(error: bytes) -> str:
    failure = Failure.from_json(error)
    return f"{failure.type.rpartition(':')[2]}: {failure.message}"


def safe(facts: dict[str, Any]) -> dict[str, Any]:
    """Give what can be written as JSON: an error's text may hold anything."""
    return {
        name: said.encode("utf-8", "replace").decode() if isinstance(said, str) else said
        for name, said in facts.items()
    }
