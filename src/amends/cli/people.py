"""`amends approvals`, `approve`, `reject`: what people are asked, and their answers."""

from __future__ import annotations

from typing import Annotated

import typer

from amends.cli.options import DEFAULT_DATABASE, By, Database, Json, Modules, Reason

ApprovalId = Annotated[str, typer.Argument(metavar="ID", help="The approval's id: RUN:NUMBER.")]


def approvals(
    id: Annotated[str | None, typer.Argument(metavar="ID", help="Show one, with all that is asked.")] = None,
    *,
    run: Annotated[str | None, typer.Option("--run", metavar="RUN", help="Only those of this run.")] = None,
    status: Annotated[
        str, typer.Option(metavar="STATUS", help="pending, approved, rejected, expired, withdrawn, or all.")
    ] = "pending",
    limit: Annotated[int, typer.Option(min=1, max=10_000, metavar="N", help="At most so many.")] = 100,
    after: Annotated[str | None, typer.Option(metavar="ID", help="Go on behind this one.")] = None,
    json: Json = False,
    database: Database = DEFAULT_DATABASE,
) -> None:
    """List what people are asked to decide, the oldest first."""
    from amends.cli.asking import list_approvals, show_approval  # noqa: PLC0415 - heavy

    if id is not None:
        show_approval(database, id, as_json=json)
    else:
        list_approvals(database, status, run_id=run, limit=limit, after=after, as_json=json)


def approve(
    id: ApprovalId,
    *,
    set: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Fill in a field, repeatable; JSON, or else text."),
    ] = None,
    reason: Reason = None,
    by: By = None,
    module: Modules = None,
    database: Database = DEFAULT_DATABASE,
) -> None:
    """Approve what a run asks for."""
    from amends.cli.asking import decide  # noqa: PLC0415 - heavy

    decide(database, id, module or (), approved=True, by=by, reason=reason, filled_in=set or ())


def reject(
    id: ApprovalId,
    *,
    reason: Reason = None,
    by: By = None,
    database: Database = DEFAULT_DATABASE,
) -> None:
    """Reject what a run asks for."""
    from amends.cli.asking import decide  # noqa: PLC0415 - heavy

    decide(database, id, (), approved=False, by=by, reason=reason, filled_in=())
