"""The `amends` program: its commands, in the order in which the help lists them."""

from __future__ import annotations

from typing import Annotated

import typer

from amends.cli.acts import abort, resolve, resume, retry, skip, undo, waive
from amends.cli.audit import audit, owed
from amends.cli.db import app as db
from amends.cli.gc import gc
from amends.cli.group import Group
from amends.cli.people import approvals, approve, reject
from amends.cli.queues import app as queues
from amends.cli.runs import export, runs, show, transcript
from amends.cli.schedules import app as schedules
from amends.cli.signal import signal, wake
from amends.cli.start import cancel, start
from amends.cli.trace import app as trace
from amends.cli.watch import watch
from amends.cli.worker import worker, workers

PLAIN = None
"""Help without boxes: quicker, and the same text in a terminal and in a file."""

app = typer.Typer(
    cls=Group,
    help="Run sagas, and see what became of them.",
    epilog="Every command takes --database URL, or AMENDS_DATABASE_URL from the environment.",
    add_completion=False,
    rich_markup_mode=PLAIN,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:  # noqa: FBT001 - typer calls it so
    if asked:
        from importlib.metadata import version  # noqa: PLC0415 - slow, and only wanted here

        typer.echo(f"amends {version('amends')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    *,
    version: Annotated[  # noqa: ARG001 - its callback has done everything
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Show the help when no command is given."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


app.command()(worker)
app.command()(workers)
app.command()(start)
app.command()(runs)
app.command()(show)
app.command()(watch)
app.command()(transcript)
app.command()(export)
app.command()(signal)
app.command()(wake)
app.command()(approvals)
app.command()(approve)
app.command()(reject)
app.command()(cancel)
app.command()(retry)
app.command()(resolve)
app.command()(skip)
app.command()(waive)
app.command()(resume)
app.command()(abort)
app.command()(undo)
app.command()(audit)
app.command()(owed)
app.command()(gc)
app.add_typer(trace, name="trace")
app.add_typer(schedules, name="schedules")
app.add_typer(queues, name="queues")
app.add_typer(db, name="db")
