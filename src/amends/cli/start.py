"""`amends start` and `amends cancel`: telling runs what to do."""

from __future__ import annotations

from typing import Annotated

import typer

from amends.cli.options import DEFAULT_DATABASE, By, Database, Modules, Reason, RunId


def start(
    saga: Annotated[str, typer.Argument(metavar="SAGA", help="The saga's name, or MODULE:NAME.")],
    *,
    input: Annotated[
        str | None,
        typer.Option(
            metavar="JSON",
            help="An object by parameter name, or the only argument's value; @file reads a file, @- stdin.",
        ),
    ] = None,
    id: Annotated[
        str | None, typer.Option(metavar="ID", help="The run's id; the same id starts nothing twice.")
    ] = None,
    module: Modules = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the result, and print it.")] = False,
    database: Database = DEFAULT_DATABASE,
) -> None:
    """Start a run, for a worker to drive; prints its id."""
    from amends.cli.starting import start_run  # noqa: PLC0415 - heavy

    code = start_run(database, saga, module or (), given=input, run_id=id, wait=wait)
    raise typer.Exit(code)


def cancel(
    run: RunId,
    *,
    reason: Reason = None,
    by: By = None,
    database: Database = DEFAULT_DATABASE,
) -> None:
    """Ask a run to stop and undo what it has done."""
    from amends.cli.cancelling import cancel_run  # noqa: PLC0415 - heavy

    cancel_run(database, run, reason=reason, by=by)
