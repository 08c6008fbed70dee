"""`amends runs`, `show`, `transcript` and `export`: looking at runs, and taking one along."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from amends.cli.options import DEFAULT_DATABASE, MOST, Attributes, Database, Json, Modules, RunId


def runs(
    *,
    status: Annotated[
        str | None,
        typer.Option(
            metavar="STATUS", help="ready, running, waiting, compensating, parked, completed, …, or unserved."
        ),
    ] = None,
    saga: Annotated[str | None, typer.Option(metavar="NAME", help="Only runs of this saga.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Started since 2026-11-22, 2026-11-22T14:30, 2h, 3d.")
    ] = None,
    parent: Annotated[str | None, typer.Option(metavar="RUN", help="Only child runs of this run.")] = None,
    attribute: Attributes = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=MOST, help="How many at most.")] = 50,
    after: Annotated[
        str | None, typer.Option(metavar="RUN", help="Go on behind this run: the next page.")
    ] = None,
    json: Json = False,
    database: Database = DEFAULT_DATABASE,
) -> None:
    """List runs, newest first."""
    from amends.cli.listing import Wanted, list_runs  # noqa: PLC0415 - heavy

    wanted = Wanted.of(status, saga, since, limit, after, parent, attribute)
    list_runs(database, wanted, as_json=json)


def show(run: RunId, *, json: Json = False, database: Database = DEFAULT_DATABASE) -> None:
    """Tell the story of one run."""
    from amends.cli.telling import show_run  # noqa: PLC0415 - heavy

    show_run(database, run, as_json=json)


def transcript(
    run: RunId, *, module: Modules = None, json: Json = False, database: Database = DEFAULT_DATABASE
) -> None:
    """Print what was said in an agent's run."""
    from amends.cli.modules import modules_given  # noqa: PLC0415 - heavy
    from amends.cli.transcribing import print_transcript  # noqa: PLC0415 - heavy, and an extra

    print_transcript(database, run, modules_given(module or ()), as_json=json)


def export(
    run: RunId,
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write it there, not to stdout."),
    ] = None,
    database: Database = DEFAULT_DATABASE,
) -> None:
    """Print a run and its journal as one JSON document, to be kept, sent and replayed."""
    from amends.cli.exporting import export_run  # noqa: PLC0415 - heavy

    export_run(database, run, output)
