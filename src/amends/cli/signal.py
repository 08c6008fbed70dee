"""`amends signal`, `amends wake`: messages to runs that wait."""

from __future__ import annotations

from typing import Annotated

import typer

from amends.cli.options import DEFAULT_DATABASE, By, Database, Modules, RunId


def signal(
    run: RunId,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The signal's name, as the saga receives it.")],
    *,
    payload: Annotated[
        str | None,
        typer.Option(metavar="JSON", help="What it says; @file reads a file, @- stdin. Nothing is null."),
    ] = None,
    id: Annotated[
        str | None, typer.Option(metavar="ID", help="The message's id; the same id is received once.")
    ] = None,
    module: Modules = None,
    database: Database = DEFAULT_DATABASE,
) -> None:
    """Send a signal to a run; with --module, checked against what its saga receives."""
    from amends.cli.signalling import send_signal  # noqa: PLC0415 - heavy

    send_signal(database, run, name, module or (), given=payload, message_id=id)


def wake(run: RunId, *, by: By = None, database: Database = DEFAULT_DATABASE) -> None:
    """Wake a run that sleeps: its sleeping ends now, and not when it is over."""
    from amends.cli.signalling import wake_run  # noqa: PLC0415 - heavy

    wake_run(database, run, by=by)
