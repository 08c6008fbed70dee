"""A run as one JSON document: its row and its journal, to be kept, sent and replayed elsewhere."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from amends.persistence.errors import RecordUnreadable
from amends.persistence.records import Cause, EntryRow, Loaded, RunRow, Status
from amends.sagas.journal import Entry, from_row

EXPORT_FORMAT: Final = 1
"""The layout that this code writes, and the newest that it reads."""


@dataclass(frozen=True, slots=True)
class ExportedRun:
    """A run out of a document: its row, which no worker owns, and its journal."""

    row: RunRow
    entries: list[Entry]


def export_run(row: RunRow, entries: Sequence[Entry]) -> dict[str, Any]:
    """Give a run as a document of plain JSON values.

    `{"format": 1, "run": {…}, "entries": […]}`; fields that are empty are left out. A payload is its text
    where it is UTF-8, which JSON is, and `{"base64": …}` otherwise.
    """
    run = {
        "id": row.id,
        "saga": row.saga,
        "version": row.version,
        "queue": row.queue,
        "status": row.status.value,
        "cause": None if row.cause is None else row.cause.value,
        "created_at": row.created_at,
        "deadline_at": row.deadline_at,
        "ended_at": row.ended_at,
        "input": _text(row.input),
        "result": _text(row.result),
        "error": _text(row.error),
        "parent": row.parent,
        "parent_ref": row.parent_ref,
        "root": row.root,
        "no_pivot": row.no_pivot,
        "scheduled_for": row.scheduled_for,
        "trace": row.trace,
    }
    rows = [_entry(entry.to_row(row.id)) for entry in entries]
    return {"format": EXPORT_FORMAT, "run": _filled(run), "entries": rows}


def export_loaded(loaded: Loaded) -> dict[str, Any]:
    """Give a run as it was read from the database, all of one moment, as the document of `export_run`.

    Raises:
        RecordUnreadable: a record of it can't be decoded, or newer code wrote it.
    """
    if loaded.unreadable:
        raise RecordUnreadable(f"run {loaded.run.id!r} can't be exported: {loaded.unreadable}")
    return export_run(loaded.run, [from_row(row) for row in loaded.entries])


def load_run(document: Mapping[str, Any] | str | bytes) -> ExportedRun:
    """Read what `export_run` gave, as values or as JSON text.

    Raises:
        RecordUnreadable: newer code wrote it, or it isn't such a document at all.
    """
    try:
        values = json.loads(document) if isinstance(document, str | bytes) else document
        if values["format"] > EXPORT_FORMAT:
            raise RecordUnreadable(
                f"the document has format {values['format']}, and this code reads formats up to "
                f"{EXPORT_FORMAT}. A newer amends wrote it: use that version."
            )
        row = _row(values["run"])
        return ExportedRun(row, [from_row(_entry_row(row.id, entry)) for entry in values["entries"]])
    except (KeyError, TypeError, ValueError) as error:
        problem = f"{type(error).__name__}: {error}"
        raise RecordUnreadable(f"this is no exported run of amends ({problem})") from error


def _entry(row: EntryRow) -> dict[str, Any]:
    return _filled(
        {
            "seq": row.seq,
            "kind": row.kind,
            "at": row.at,
            "ref": row.ref,
            "attempt": row.attempt,
            "name": row.name,
            "meta": None if row.meta is None else json.loads(row.meta),
            "payload": _text(row.payload),
            "format": row.format,
        }
    )


def _entry_row(run_id: str, values: Mapping[str, Any]) -> EntryRow:
    meta = values.get("meta")
    return EntryRow(
        run_id,
        values["seq"],
        values["kind"],
        values["at"],
        values.get("ref"),
        values.get("attempt"),
        values.get("name"),
        None if meta is None else json.dumps(meta),
        _bytes(values.get("payload")),
        values["format"],
    )


def _row(run: Mapping[str, Any]) -> RunRow:
    cause = run.get("cause")
    return RunRow(
        id=run["id"],
        saga=run["saga"],
        version=run["version"],
        queue=run.get("queue", "default"),
        status=Status(run["status"]),
        cause=None if cause is None else Cause(cause),
        input=_bytes(run["input"]) or b"",
        result=_bytes(run.get("result")),
        error=_bytes(run.get("error")),
        owner=None,
        due_at=None,
        deadline_at=run.get("deadline_at"),
        created_at=run["created_at"],
        ended_at=run.get("ended_at"),
        mail=0,
        lost=0,
        needs=None,
        parent=run.get("parent"),
        parent_ref=run.get("parent_ref"),
        root=run.get("root"),
        no_pivot=run.get("no_pivot"),
        scheduled_for=run.get("scheduled_for"),
        trace=run.get("trace"),
    )


def _text(payload: bytes | None) -> str | dict[str, str] | None:
    if payload is None:
        return None
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(payload).decode()}


def _bytes(payload: str | Mapping[str, str] | None) -> bytes | None:
    if payload is None or isinstance(payload, str):
        return None if payload is None else payload.encode()
    return base64.b64decode(payload["base64"], validate=True)


def _filled(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
