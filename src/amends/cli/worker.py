"""`amends worker` and `amends workers`: serving sagas, and who does."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from amends.cli.options import DEFAULT_DATABASE, MOST, Database, Json


class LogLevel(StrEnum):
    """How much is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """How a record is written."""

    TEXT = "text"
    JSON = "json"


def worker(
    modules: Annotated[
        list[str],
        typer.Argument(
            metavar="MODULE[:ATTR]",
            help="Modules or .py files whose sagas are served; ATTR: one saga, or a list of them.",
        ),
    ],
    *,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="Do all that is due, say when more is, and exit.")
    ] = False,
    grace: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0, max=MOST, help="How long steps may take to end at a signal."),
    ] = 10,
    max_running: Annotated[
        int, typer.Option(metavar="N", min=1, max=MOST, help="Runs in memory at once.")
    ] = 10_000,
    max_steps: Annotated[
        int, typer.Option(metavar="N", min=1, max=MOST, help="Steps under way at once.")
    ] = 1_000,
    threads: Annotated[
        int, typer.Option(metavar="N", min=1, max=MOST, help="Threads for steps that aren't async.")
    ] = 32,
    queue: Annotated[
        list[str] | None,
        typer.Option(
            metavar="QUEUE",
            help='Take runs of this queue alone ("default": of sagas without one); may be given many times.',
        ),
    ] = None,
    webhooks: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="AMENDS_WEBHOOKS_URL",
            show_envvar=False,
            help="Where the URLs of webhook() lead; AMENDS_WEBHOOKS_URL, with AMENDS_WEBHOOKS_SECRETS.",
        ),
    ] = None,
    log_level: Annotated[
        LogLevel | None,
        typer.Option(
            metavar="LEVEL", help="What is logged to stderr: debug, info (default), warning, error."
        ),
    ] = None,
    log_format: Annotated[
        LogFormat,
        typer.Option(metavar="FORMAT", envvar="AMENDS_LOG_FORMAT", show_envvar=False, help="text or json."),
    ] = LogFormat.TEXT,
    health: Annotated[
        str | None,
        typer.Option(
            metavar="[HOST:]PORT",
            envvar="AMENDS_HEALTH",
            show_envvar=False,
            help="Answer probes: GET /live, GET /ready. A HOST that others reach needs AMENDS_HEALTH_TOKEN.",
        ),
    ] = None,
    database: Database = DEFAULT_DATABASE,
) -> None:
    """Drive the runs of sagas until a signal comes.

    SIGINT and SIGTERM let the steps under way end, within --grace seconds; a second signal exits at once.
    What isn't done by then goes on with the next worker, here or elsewhere.
    """
    from amends.cli.modules import imported, sagas_in  # noqa: PLC0415 - heavy
    from amends.cli.probes import place_of  # noqa: PLC0415 - heavy
    from amends.cli.serving import Serving, serve  # noqa: PLC0415 - heavy
    from amends.cli.webhooks import webhooks_at  # noqa: PLC0415 - heavy

    lead = webhooks_at(webhooks)
    probes = place_of(health) if health else None
    sagas = sagas_in([imported(module) for module in modules])
    serve(
        Serving(
            database,
            sagas,
            queue,
            until_idle,
            grace,
            max_running,
            max_steps,
            threads,
            log_level,
            log_format is LogFormat.JSON,
            probes,
            lead,
        )
    )


def workers(*, json: Json = False, database: Database = DEFAULT_DATABASE) -> None:
    """List the workers: what each of them serves, how many runs it holds, and whether its lease is good."""
    from amends.cli.fleet import list_workers  # noqa: PLC0415 - heavy

    list_workers(database, as_json=json)
