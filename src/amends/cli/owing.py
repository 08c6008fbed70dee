"""Listing the compensations that runs which haven't ended may need."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from rich.table import Table

from amends.cli.group import ExitCode
from amends.cli.modules import import_given
from amends.cli.output import plain, render, write, write_json
from amends.cli.reading import must_exist, quiet
from amends.sagas.coordinator import Coordinator
from amends.sagas.obligations import Owed


def list_owed(url: str, modules: Sequence[str], *, as_json: bool) -> int:
    """Print what is owed, and with modules what of it they don't define. Gives the exit code.

    Raises `CommandError`, `RecordUnreadable`.
    """
    known = import_given(modules)
    must_exist(url)
    quiet()
    owed = asyncio.run(_owed(url))
    if as_json:
        write_json({"owed": [_document(one, checked=known) for one in owed]})
    elif not owed:
        write("nothing is owed\n")
    else:
        render(_table(owed, checked=known), table=True)
    return ExitCode.NOT_ALL if known and not all(one.here for one in owed) else ExitCode.DONE


async def _owed(url: str) -> list[Owed]:
    async with Coordinator(url, work=False, migrate=False) as coordinator:
        return await coordinator.owed()


def _document(owed: Owed, *, checked: bool) -> dict[str, object]:
    return {
        "compensation": owed.handler,
        "runs": owed.runs,
        "example": owed.example,
        "defined": owed.here if checked else None,
    }


def _table(owed: list[Owed], *, checked: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    table.add_column("COMPENSATION", no_wrap=True)
    table.add_column("RUNS", no_wrap=True, justify="right")
    table.add_column("FOR EXAMPLE", no_wrap=True)
    table.add_column("", no_wrap=True)
    for one in owed:
        missing = "not defined" if checked and not one.here else ""
        table.add_row(plain(one.handler), f"{one.runs:,}", plain(one.example), plain(missing, "bold red"))
    return table
