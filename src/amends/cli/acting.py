"""Doing what a person asks for, to one run or to many."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from amends.cli.choosing import Chosen
from amends.cli.errors import CommandError, flat
from amends.cli.given import parsed
from amends.cli.group import ExitCode
from amends.cli.output import write
from amends.cli.reading import must_exist, quiet, reading
from amends.cli.who import me
from amends.sagas.coordinator import Coordinator
from amends.sagas.errors import ActionRefused
from amends.sagas.handle import fold
from amends.sagas.operators import Operator


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for: in words, and how it is done to one run."""

    what: str
    do: Callable[[Coordinator, Operator, str], Awaitable[None]]

    @classmethod
    def to_retry(cls, step: str | None, reason: str | None) -> Asked:
        """Ask to try a step again, or all compensations that are stuck."""

        async def retry(coordinator: Coordinator, operator: Operator, run_id: str) -> None:
            for one in [step] if step is not None else await _stuck(coordinator, run_id):
                await operator.retry(run_id, one, reason=reason)

        if step is None:
            return cls("to try the compensations that failed for good again", retry)
        return cls(f"to try step {step} again", retry)

    @classmethod
    def to_resolve(
        cls, step: str | None, *, landed: bool | None, evidence: str | None, result: str | None
    ) -> Asked:
        """Ask to take a step as landed or not. Raises `CommandError` where something is missing."""
        if landed is None:
            raise CommandError("did it land? Say --landed or --not-landed")
        if not evidence:
            raise CommandError("--evidence is missing: where did you look, and what did you find?")
        if result is not None and not landed:
            raise CommandError("--result is for --landed: what didn't land has none")
        value = None if result is None else parsed(result, "--result")
        found = "landed" if landed else "not landed"
        return cls(
            f"to take step {step} as {found}",
            lambda _, operator, run_id: operator.resolve(
                run_id, step or "", landed=landed, evidence=evidence, result=value
            ),
        )

    @classmethod
    def to_skip(cls, step: str | None, reason: str | None) -> Asked:
        """Ask to leave out a compensation that is stuck."""
        return cls(
            f"to leave out the compensation of step {step}",
            lambda _, operator, run_id: operator.skip(run_id, step or "", reason=reason),
        )

    @classmethod
    def to_waive(cls, step: str | None, reason: str | None) -> Asked:
        """Ask to give up what is owed. Raises `CommandError` without a reason."""
        if not reason:
            raise CommandError("--reason is missing: why is what is owed given up?")
        return cls(
            f"to give up what is owed for step {step}",
            lambda _, operator, run_id: operator.waive(run_id, step or "", reason=reason),
        )

    @classmethod
    def to_resume(cls, reason: str | None) -> Asked:
        """Ask to go on."""
        return cls("to go on", lambda _, operator, run_id: operator.resume(run_id, reason=reason))

    @classmethod
    def to_abort(cls, reason: str | None) -> Asked:
        """Ask to be undone on the way."""
        return cls(
            "to undo what it has done", lambda _, operator, run_id: operator.abort(run_id, reason=reason)
        )

    @classmethod
    def to_undo(cls, reason: str | None) -> Asked:
        """Ask to be undone after the end."""
        return cls(
            "to undo what it has done", lambda _, operator, run_id: operator.undo(run_id, reason=reason)
        )


def act(url: str, asked: Asked, chosen: Chosen, *, by: str | None, dry_run: bool) -> int:
    """Ask one run, or each of many, and print a line about each. Gives the exit code.

    Raises `CommandError`, and for one run `RunNotFound`, `ActionRefused`, `RunEnded`.
    """
    must_exist(url)
    quiet()
    return asyncio.run(_act(url, asked, chosen, me() if by is None else by, dry_run=dry_run))


async def _act(url: str, asked: Asked, chosen: Chosen, by: str, *, dry_run: bool) -> int:
    asking = "would be asked" if dry_run else "is asked"
    async with Coordinator(url, work=False, migrate=False) as coordinator:
        operator = coordinator.operator(by, dry_run=dry_run)

        async def do(run_id: str) -> None:
            await asked.do(coordinator, operator, run_id)

        if chosen.run is not None:
            await do(chosen.run)
            write(f"{chosen.run} {asking} {asked.what}\n")
            return ExitCode.DONE
        refused = 0
        found = await asyncio.to_thread(_found, url, chosen)
        for run_id in found:
            [acted] = await operator.for_each(do, [run_id])
            refused += acted.refused is not None
            why = flat(acted.refused or "").removeprefix(f"run {run_id!r}: ")
            write(f"{run_id} {asking} {asked.what}\n" if not why else f"{run_id} refused: {why}\n")
        if not found:
            write("no runs\n")
        return ExitCode.NOT_ALL if refused else ExitCode.DONE


def _found(url: str, chosen: Chosen) -> list[str]:
    with reading(url) as database:
        return list(chosen.found(database))


async def _stuck(coordinator: Coordinator, run_id: str) -> list[int]:
    """Give the steps whose compensation failed for good. Raises `RunNotFound`, `ActionRefused`."""
    await coordinator.desk.row(run_id)
    history = fold(await coordinator.desk.journal(run_id))
    if not history.stuck:
        doubts = ", ".join(f"{step.ref} ({step.name})" for step in history.doubts.values())
        hint = f"; name the step that is in doubt: {doubts}" if doubts else ""
        raise ActionRefused(f"run {run_id!r}: no compensation of it has failed for good{hint}")
    return list(history.stuck)
