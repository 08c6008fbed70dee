"""`amends schedules`: the schedules of a database, and what people do to them."""

from __future__ import annotations

from typing import Annotated

import typer

from amends.cli.options import DEFAULT_DATABASE, MOST, By, Database, Json

ScheduleId = Annotated[str, typer.Argument(metavar="SCHEDULE", help="The schedule's id.")]

app = typer.Typer(help="List schedules; pause, resume, delete or trigger one.", rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    *,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=MOST, help="How many at most.")] = 50,
    after: Annotated[
        str | None, typer.Option(metavar="SCHEDULE", help="Go on behind this schedule: the next page.")
    ] = None,
    json: Json = False,
    database: Database = DEFAULT_DATABASE,
) -> None:
    """List schedules by their ids, with what comes next; or act on one: see the commands."""
    from amends.cli.scheduling import list_schedules, refuse_options_before  # noqa: PLC0415 - heavy

    if context.invoked_subcommand is None:
        list_schedules(database, limit, after, as_json=json)
    else:
        refuse_options_before(context)


@app.command()
def pause(schedule: ScheduleId, *, by: By = None, database: Database = DEFAULT_DATABASE) -> None:
    """Let a schedule rest until it is resumed.

    What occurs meanwhile isn't made up for then.
    """
    from amends.cli.scheduling import Act, act  # noqa: PLC0415 - heavy

    act(database, Act.PAUSE, schedule, by)


@app.command()
def resume(schedule: ScheduleId, *, by: By = None, database: Database = DEFAULT_DATABASE) -> None:
    """Let a paused schedule go on with its next occurrence."""
    from amends.cli.scheduling import Act, act  # noqa: PLC0415 - heavy

    act(database, Act.RESUME, schedule, by)


@app.command()
def delete(schedule: ScheduleId, *, by: By = None, database: Database = DEFAULT_DATABASE) -> None:
    """Take a schedule away; the runs that it has started go on."""
    from amends.cli.scheduling import Act, act  # noqa: PLC0415 - heavy

    act(database, Act.DELETE, schedule, by)


@app.command()
def trigger(schedule: ScheduleId, *, by: By = None, database: Database = DEFAULT_DATABASE) -> None:
    """Start a run now, beside the plan; prints its id."""
    from amends.cli.scheduling import trigger_run  # noqa: PLC0415 - heavy

    trigger_run(database, schedule, by)
