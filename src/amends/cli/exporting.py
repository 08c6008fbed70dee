"""Writing a run as a document that `amends.sagas.testing.replay` reads."""

from __future__ import annotations

from pathlib import Path

from amends.cli.errors import CommandError
from amends.cli.output import json_text, write
from amends.cli.reading import reading
from amends.sagas.exported import export_loaded
from amends.sagas.missing import missing


def export_run(url: str, run_id: str, output: Path | None) -> None:
    """Print a run's document, or write it to a file, which is replaced.

    Raises `RunNotFound`, `CommandError` when the file can't be written, `RecordUnreadable`.
    """
    with reading(url) as database:
        loaded = database.load(run_id)
        if loaded is None:
            raise missing(run_id, database.removals.tombstones(run_id))
    text = json_text(export_loaded(loaded))
    if output is None:
        write(text)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{str(output)!r} can't be written: {error.strerror}") from error
    write(f"{run_id} is written to {output}\n")
