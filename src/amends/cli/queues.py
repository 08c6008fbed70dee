"""`amends queues`: the queues of a database, and what people do to them."""

from __future__ import annotations

from typing import Annotated

import typer

from amends.cli.options import DEFAULT_DATABASE, MOST, By, Database, Json

QueueName = Annotated[str, typer.Argument(metavar="QUEUE", help="The queue's name.")]

app = typer.Typer(help="List queues; set limits, pause, resume or delete one.", rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def main(context: typer.Context, *, json: Json = False, database: Database = DEFAULT_DATABASE) -> None:
    """List queues with their limits, and how many runs wait there; or act on one: see the commands."""
    from amends.cli.queueing import list_queues  # noqa: PLC0415 - heavy
    from amends.cli.scheduling import refuse_options_before  # noqa: PLC0415 - heavy

    if context.invoked_subcommand is None:
        list_queues(database, as_json=json)
    else:
        refuse_options_before(context)


@app.command("set")
def put(
    queue: QueueName,
    *,
    concurrency: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=MOST, help="Runs that go on at once, in all.")
    ] = None,
    per_worker: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=MOST, help="Runs that one worker holds at once.")
    ] = None,
    per_key: Annotated[
        int,
        typer.Option(metavar="N", min=0, max=MOST, help="Runs of one key that go on at once; 0: any number."),
    ] = 1,
    rate: Annotated[
        str | None,
        typer.Option(metavar="N/TIME", help="Runs that begin within a time: 100/1m, 5/10s, 1000/1d."),
    ] = None,
    by: By = None,
    database: Database = DEFAULT_DATABASE,
) -> None:
    """Give a queue these limits, and no others; made where there is none, and heeded at once."""
    from amends.cli.queueing import put_queue  # noqa: PLC0415 - heavy

    limits = {"concurrency": concurrency, "per_worker": per_worker, "per_key": per_key or None}
    put_queue(database, queue, limits, rate, by)


@app.command()
def pause(queue: QueueName, *, by: By = None, database: Database = DEFAULT_DATABASE) -> None:
    """Let no further run of a queue begin until it is resumed; those that have begun go on."""
    from amends.cli.queueing import Act, act  # noqa: PLC0415 - heavy

    act(database, Act.PAUSE, queue, by)


@app.command()
def resume(queue: QueueName, *, by: By = None, database: Database = DEFAULT_DATABASE) -> None:
    """Let runs of a paused queue begin again."""
    from amends.cli.queueing import Act, act  # noqa: PLC0415 - heavy

    act(database, Act.RESUME, queue, by)


@app.command()
def delete(queue: QueueName, *, by: By = None, database: Database = DEFAULT_DATABASE) -> None:
    """Take a queue's limits away, and its pause; its runs stay."""
    from amends.cli.queueing import Act, act  # noqa: PLC0415 - heavy

    act(database, Act.DELETE, queue, by)
