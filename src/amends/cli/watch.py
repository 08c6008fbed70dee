"""`amends watch`: runs as they change."""

from __future__ import annotations

from typing import Annotated

import typer

from amends.cli.options import DEFAULT_DATABASE, Attributes, Database


def watch(
    run: Annotated[
        str | None, typer.Argument(metavar="RUN", help="The run's id; left out, every run that changes.")
    ] = None,
    *,
    status: Annotated[
        str | None, typer.Option(metavar="STATUS", help="Only when a run has come to this status.")
    ] = None,
    saga: Annotated[str | None, typer.Option(metavar="NAME", help="Only runs of this saga.")] = None,
    attribute: Attributes = None,
    json: Annotated[bool, typer.Option("--json", help="Print each change as a line of JSON.")] = False,
    database: Database = DEFAULT_DATABASE,
) -> None:
    """Print a line whenever a run changes, until it has ended, or until Ctrl-C."""
    from amends.cli import typed  # noqa: PLC0415 - heavy
    from amends.cli.errors import CommandError  # noqa: PLC0415 - heavy
    from amends.cli.watching import watch_runs  # noqa: PLC0415 - heavy

    if run is not None and (status or saga or attribute):
        raise CommandError("give either a run's id, or what the runs to be watched have in common")
    watch_runs(database, run, status=status, saga=saga, attributes=typed.attributes(attribute), as_json=json)
