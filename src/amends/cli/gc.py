"""`amends gc`: removing what has ended long ago."""

from __future__ import annotations

from typing import Annotated

import typer

from amends.cli.options import DEFAULT_DATABASE, By, Database, Json, OfSaga


def gc(
    *,
    older_than: Annotated[
        str, typer.Option(metavar="AGE", help="Runs that ended longer ago than this: 30d, 12w, 48h.")
    ],
    undoable_older_than: Annotated[
        str | None,
        typer.Option(metavar="AGE", help="Also runs that could still be undone, if they ended longer ago."),
    ] = None,
    saga: OfSaga = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    json: Json = False,
    by: By = None,
    database: Database = DEFAULT_DATABASE,
) -> None:
    """Remove runs that ended long ago, with their journals; their ids stay taken.

    What goes on, belongs to a run that goes on, or can still be undone is kept.
    """
    from amends.cli.collecting import Asked, collect_runs  # noqa: PLC0415 - heavy

    collect_runs(database, Asked(older_than, undoable_older_than, saga, by, dry_run), as_json=json)
