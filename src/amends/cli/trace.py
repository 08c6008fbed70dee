"""`amends trace`: the trace of a run, from its journal."""

from __future__ import annotations

from typing import Annotated

import typer

from amends.cli.options import DEFAULT_DATABASE, Database, Json, Modules, RunId
from amends.tracing.address import JAEGER

app = typer.Typer(help="Show a run's trace, export it again, or say where it is.", rich_markup_mode=None)

Children = Annotated[
    bool, typer.Option("--children/--no-children", help="The child runs below it, too; they are by default.")
]


@app.callback(invoke_without_command=True)
def main(context: typer.Context) -> None:
    """Show the help when no command is given."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def show(
    run: RunId,
    *,
    children: Children = True,
    json: Json = False,
    module: Modules = None,
    database: Database = DEFAULT_DATABASE,
) -> None:
    """Show what a run did, as a tree on a scale of time on which long pauses are short."""
    from amends.cli.tracing import show_trace  # noqa: PLC0415 - heavy

    show_trace(database, run, module or (), children=children, json=json)


@app.command()
def export(
    run: RunId,
    *,
    endpoint: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="An OTLP/HTTP endpoint; OTEL_EXPORTER_OTLP_ENDPOINT, or this host's."
        ),
    ] = None,
    service: Annotated[
        str | None, typer.Option(metavar="NAME", help="The service's name; OTEL_SERVICE_NAME.")
    ] = None,
    children: Children = True,
    module: Modules = None,
    database: Database = DEFAULT_DATABASE,
) -> None:
    """Export a run's whole trace again, as its journal tells it."""
    from amends.cli.tracing import export_trace  # noqa: PLC0415 - heavy

    raise typer.Exit(
        export_trace(database, run, module or (), children=children, endpoint=endpoint, service=service)
    )


@app.command()
def url(
    run: RunId,
    *,
    template: Annotated[
        str,
        typer.Option(
            metavar="URL",
            envvar="AMENDS_TRACE_URL",
            show_envvar=False,
            help="With {trace_id} and {run_id}, Jaeger's on this host by default; AMENDS_TRACE_URL.",
        ),
    ] = JAEGER,
    database: Database = DEFAULT_DATABASE,
) -> None:
    """Print where a run's trace can be looked at."""
    from amends.cli.tracing import print_url  # noqa: PLC0415 - heavy

    print_url(database, run, template)
