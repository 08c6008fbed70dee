"""The options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

DEFAULT_DATABASE = "sqlite:///amends.db"
MOST = 1_000_000_000
"""The most of anything that can be asked for."""

Database = Annotated[
    str,
    typer.Option(
        "--database",
        "-d",
        metavar="URL",
        envvar="AMENDS_DATABASE_URL",
        show_envvar=False,
        help="sqlite:///file.db or postgresql://user@host/name; AMENDS_DATABASE_URL.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")]
Modules = Annotated[
    list[str] | None,
    typer.Option("--module", metavar="MODULE", help="Where sagas are defined, repeatable; AMENDS_MODULES."),
]
Reason = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why, for the record.")]
By = Annotated[
    str | None, typer.Option("--as", metavar="NAME", help="Who asks, for the record; you by default.")
]
Attributes = Annotated[
    list[str] | None,
    typer.Option(
        "--attribute", metavar="NAME=VALUE", help="Only runs that show this of themselves; repeatable."
    ),
]

ActedRun = Annotated[str | None, typer.Argument(metavar="RUN", help="The run's id; left out with filters.")]
ActedStep = Annotated[
    str | None, typer.Argument(metavar="STEP", help="The step's number, or its name if it is called once.")
]
StepOfMany = Annotated[
    str | None, typer.Option("--step", metavar="STEP", help="With filters: the step, by its name.")
]
OfSaga = Annotated[str | None, typer.Option("--saga", metavar="NAME", help="All runs of this saga.")]
OfVersion = Annotated[
    str | None, typer.Option("--version", metavar="V", help="All runs of this version of their saga.")
]
ParkedFor = Annotated[
    str | None,
    typer.Option("--reason-contains", metavar="TEXT", help="All runs parked for a reason with this in it."),
]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="WHEN", help="All started since 2026-11-22, 2026-11-22T14:30, 2h, 3d."),
]
All = Annotated[bool, typer.Option("--all", help="All parked runs, with no other filter.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done to which run, and do nothing.")
]
