"""`amends retry`, `resolve`, `skip`, `waive`, `resume`, `abort`, `undo`: what people do about runs.

Each acts on one run, or with filters instead of RUN on all parked runs that fit (`undo`: completed ones).
"""

from __future__ import annotations

from typing import Annotated

import typer

from amends.cli.options import (
    DEFAULT_DATABASE,
    ActedRun,
    ActedStep,
    All,
    By,
    Database,
    DryRun,
    Modules,
    OfSaga,
    OfVersion,
    ParkedFor,
    Reason,
    Since,
    StepOfMany,
)


def retry(
    run: ActedRun = None,
    step: ActedStep = None,
    *,
    reason: Reason = None,
    by: By = None,
    step_of_many: StepOfMany = None,
    saga: OfSaga = None,
    version: OfVersion = None,
    reason_contains: ParkedFor = None,
    since: Since = None,
    all: All = False,
    dry_run: DryRun = False,
    database: Database = DEFAULT_DATABASE,
) -> None:
    """Try a step in doubt, or what failed to be undone, again.

    Without a step it is all compensations of the run that failed for good.
    """
    from amends.cli.acting import Asked, act  # noqa: PLC0415 - heavy
    from amends.cli.choosing import Chosen  # noqa: PLC0415 - heavy

    chosen = Chosen.of(run, saga, version, reason_contains, since, everything=all)
    asked = Asked.to_retry(chosen.step(step, step_of_many, needed=False), reason)
    raise typer.Exit(act(database, asked, chosen, by=by, dry_run=dry_run))


def resolve(
    run: ActedRun = None,
    step: ActedStep = None,
    *,
    landed: Annotated[
        bool | None, typer.Option("--landed/--not-landed", help="Whether its effect is in the world.")
    ] = None,
    evidence: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Where you looked, and what you found.")
    ] = None,
    result: Annotated[
        str | None,
        typer.Option(metavar="JSON", help="What the step would have returned; @file reads a file, @- stdin."),
    ] = None,
    module: Modules = None,
    by: By = None,
    step_of_many: StepOfMany = None,
    saga: OfSaga = None,
    version: OfVersion = None,
    reason_contains: ParkedFor = None,
    since: Since = None,
    all: All = False,
    dry_run: DryRun = False,
    database: Database = DEFAULT_DATABASE,
) -> None:
    """Say, with evidence, whether a step in doubt landed.

    With --module, a result that doesn't fit the step is refused at once, otherwise by the worker.
    """
    from amends.cli.acting import Asked, act  # noqa: PLC0415 - heavy
    from amends.cli.choosing import Chosen  # noqa: PLC0415 - heavy
    from amends.cli.modules import import_given  # noqa: PLC0415 - heavy

    chosen = Chosen.of(run, saga, version, reason_contains, since, everything=all)
    import_given(module or ())
    asked = Asked.to_resolve(chosen.step(step, step_of_many), landed=landed, evidence=evidence, result=result)
    raise typer.Exit(act(database, asked, chosen, by=by, dry_run=dry_run))


def skip(
    run: ActedRun = None,
    step: ActedStep = None,
    *,
    reason: Reason = None,
    by: By = None,
    step_of_many: StepOfMany = None,
    saga: OfSaga = None,
    version: OfVersion = None,
    reason_contains: ParkedFor = None,
    since: Since = None,
    all: All = False,
    dry_run: DryRun = False,
    database: Database = DEFAULT_DATABASE,
) -> None:
    """Leave out a compensation that failed: its effect stays."""
    from amends.cli.acting import Asked, act  # noqa: PLC0415 - heavy
    from amends.cli.choosing import Chosen  # noqa: PLC0415 - heavy

    chosen = Chosen.of(run, saga, version, reason_contains, since, everything=all)
    asked = Asked.to_skip(chosen.step(step, step_of_many), reason)
    raise typer.Exit(act(database, asked, chosen, by=by, dry_run=dry_run))


def waive(
    run: ActedRun = None,
    step: ActedStep = None,
    *,
    reason: Reason = None,
    by: By = None,
    step_of_many: StepOfMany = None,
    saga: OfSaga = None,
    version: OfVersion = None,
    reason_contains: ParkedFor = None,
    since: Since = None,
    all: All = False,
    dry_run: DryRun = False,
    database: Database = DEFAULT_DATABASE,
) -> None:
    """Give up a compensation that is owed: its effect stays."""
    from amends.cli.acting import Asked, act  # noqa: PLC0415 - heavy
    from amends.cli.choosing import Chosen  # noqa: PLC0415 - heavy

    chosen = Chosen.of(run, saga, version, reason_contains, since, everything=all)
    asked = Asked.to_waive(chosen.step(step, step_of_many), reason)
    raise typer.Exit(act(database, asked, chosen, by=by, dry_run=dry_run))


def resume(
    run: ActedRun = None,
    *,
    reason: Reason = None,
    by: By = None,
    saga: OfSaga = None,
    version: OfVersion = None,
    reason_contains: ParkedFor = None,
    since: Since = None,
    all: All = False,
    dry_run: DryRun = False,
    database: Database = DEFAULT_DATABASE,
) -> None:
    """Let a parked run go on: what was in its way is gone."""
    from amends.cli.acting import Asked, act  # noqa: PLC0415 - heavy
    from amends.cli.choosing import Chosen  # noqa: PLC0415 - heavy

    chosen = Chosen.of(run, saga, version, reason_contains, since, everything=all)
    raise typer.Exit(act(database, Asked.to_resume(reason), chosen, by=by, dry_run=dry_run))


def abort(
    run: ActedRun = None,
    *,
    reason: Reason = None,
    by: By = None,
    saga: OfSaga = None,
    version: OfVersion = None,
    reason_contains: ParkedFor = None,
    since: Since = None,
    all: All = False,
    dry_run: DryRun = False,
    database: Database = DEFAULT_DATABASE,
) -> None:
    """Have a run undone that is parked or going on."""
    from amends.cli.acting import Asked, act  # noqa: PLC0415 - heavy
    from amends.cli.choosing import Chosen  # noqa: PLC0415 - heavy

    chosen = Chosen.of(run, saga, version, reason_contains, since, everything=all)
    raise typer.Exit(act(database, Asked.to_abort(reason), chosen, by=by, dry_run=dry_run))


def undo(
    run: ActedRun = None,
    *,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what would be undone, in which order, and what stays.")
    ] = False,
    module: Modules = None,
    reason: Reason = None,
    by: By = None,
    saga: OfSaga = None,
    version: OfVersion = None,
    since: Since = None,
    dry_run: DryRun = False,
    database: Database = DEFAULT_DATABASE,
) -> None:
    """Have a completed run undone, as a unit.

    With --saga, all completed runs of that saga that fit.
    With --plan and --module, compensations that these modules don't define are named.
    """
    from amends.cli.acting import Asked, act  # noqa: PLC0415 - heavy
    from amends.cli.choosing import Chosen  # noqa: PLC0415 - heavy
    from amends.cli.planning import show_plan  # noqa: PLC0415 - heavy

    chosen = Chosen.to_undo(run, saga, version, since)
    if plan:
        raise typer.Exit(show_plan(database, chosen.only(), module or ()))
    raise typer.Exit(act(database, Asked.to_undo(reason), chosen, by=by, dry_run=dry_run))
