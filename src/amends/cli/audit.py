"""`amends audit` and `amends owed`: who did what, and what must not be left behind."""

from __future__ import annotations

import typer

from amends.cli.options import DEFAULT_DATABASE, Database, Json, Modules, RunId


def audit(run: RunId, *, json: Json = False, database: Database = DEFAULT_DATABASE) -> None:
    """Show who did what to a run, and why."""
    from amends.cli.auditing import show_audit  # noqa: PLC0415 - heavy

    show_audit(database, run, as_json=json)


def owed(*, module: Modules = None, json: Json = False, database: Database = DEFAULT_DATABASE) -> None:
    """List the compensations that going runs may need.

    That is a check before a deployment: going is whatever hasn't ended, parked runs included.
    With --module, those that these modules don't define are marked, and the exit code is 1 if there are any.
    """
    from amends.cli.owing import list_owed  # noqa: PLC0415 - heavy

    raise typer.Exit(list_owed(database, module or (), as_json=json))
