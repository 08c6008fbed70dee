"""Writing to the terminal, or to whatever stands in its place."""

from __future__ import annotations

import io
import json
import math
import os
import sys
from collections.abc import Mapping
from typing import Any

import typer
from rich.console import Console, ConsoleRenderable
from rich.text import Text

from amends.cli.group import ExitCode, silence

WIDE = 240
"""Columns of a table that isn't shown in a terminal: it is cut by no window."""


def write(text: str) -> None:
    """Write to stdout at once; when nobody reads it any more, end quietly."""
    try:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        silence()
        raise typer.Exit(ExitCode.BROKEN_PIPE) from None


def write_json(document: Any) -> None:
    """Write one JSON document to stdout: JSON as everybody reads it, so NaN and the infinities are texts."""
    write(json_text(document))


def json_text(document: Any) -> str:
    """Give a document as the lines that `write_json` writes."""
    return json.dumps(finite(document), indent=2, allow_nan=False) + "\n"


def finite(document: Any) -> Any:
    """Put the texts `NaN`, `Infinity` and `-Infinity` in the place of numbers that JSON doesn't have."""
    if isinstance(document, Mapping):
        return {name: finite(value) for name, value in document.items()}
    if isinstance(document, list | tuple):
        return [finite(value) for value in document]
    if isinstance(document, float) and not math.isfinite(document):
        return json.dumps(document)
    return document


def render(*parts: ConsoleRenderable, table: bool = False) -> None:
    """Write what rich lays out: in the terminal's width and colours, or plainly where there is none.

    A `table` keeps its lines whole where there is no terminal, so that `grep` and `awk` can read it.
    """
    console = Console(highlight=False, emoji=False, markup=False)
    if table and not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = WIDE
    with console.capture() as captured:
        console.print(*parts, sep="\n")
    lines = captured.get().splitlines()
    write("".join(f"{line.rstrip()}\n" for line in lines))


def plain(text: str, style: str = "") -> Text:
    """Make a text of somebody else's words: control characters shown, not obeyed."""
    return Text("".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text), style=style)
