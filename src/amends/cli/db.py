"""`amends db`: the database's tables."""

from __future__ import annotations

import typer

from amends.cli.options import DEFAULT_DATABASE, Database

app = typer.Typer(help="Make, upgrade and check the database's tables.", rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def main(context: typer.Context) -> None:
    """Show the help when no command is given."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def upgrade(*, database: Database = DEFAULT_DATABASE) -> None:
    """Make the tables, or bring them up to date."""
    from amends.cli.tables import upgrade_tables  # noqa: PLC0415 - heavy

    upgrade_tables(database)


@app.command()
def check(*, database: Database = DEFAULT_DATABASE) -> None:
    """Tell whether the tables are up to date; changes nothing."""
    from amends.cli.tables import check_tables  # noqa: PLC0415 - heavy

    check_tables(database)
