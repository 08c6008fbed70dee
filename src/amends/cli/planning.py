"""Saying beforehand what an undo would do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from amends.cli.group import ExitCode
from amends.cli.modules import import_given
from amends.cli.output import plain, render
from amends.cli.reading import must_exist, quiet
from amends.sagas.coordinator import Coordinator
from amends.sagas.undo_plan import UndoPlan


def show_plan(url: str, run_id: str, modules: Sequence[str]) -> int:
    """Print what undoing a run would do; gives the exit code, which says whether it can be undone.

    Raises `CommandError`, `RunNotFound`.
    """
    known = import_given(modules)
    must_exist(url)
    quiet()
    plan = asyncio.run(_plan(url, run_id))
    # Without modules this process defines nothing: that says nothing about the workers.
    render(plain(str(plan if known else replace(plan, missing=()))))
    return ExitCode.DONE if plan.refused is None else ExitCode.NOT_ALL


async def _plan(url: str, run_id: str) -> UndoPlan:
    async with Coordinator(url, work=False, migrate=False) as coordinator:
        return await coordinator.undo_plan(run_id)
