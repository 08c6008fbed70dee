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
