"""How the program ends: mistakes become one line on stderr, and each kind of end has its exit code."""

from __future__ import annotations

import sys
from enum import IntEnum
from typing import Any, NoReturn

from typer import Abort
from typer.core import TyperGroup
from typer.exceptions import TyperException

from amends.cli.errors import one_line, without_password
from amends.persistence.errors import AmendsError


class ExitCode(IntEnum):
    """What a command's end tells the shell; an end by a signal is 128 and its number, as usual."""

    DONE = 0
    NOT_ALL = 1
    """Something was refused or is missing, and the output names it; or a bug, with its traceback."""
    MISTAKE = 2
    RUN_FAILED = 3
    BROKEN_PIPE = 141


class Group(TyperGroup):
    """The root of all commands."""

    def main(self, *args: Any, **options: Any) -> NoReturn:
        """Run a command and leave the process with its exit code."""
        try:
            code = super().main(*args, **{**options, "prog_name": "amends", "standalone_mode": False})
        except AmendsError as error:
            complain(without_password(one_line(error)))
            code = ExitCode.MISTAKE
        except TyperException as error:
            complain(_usage(error))
            code = error.exit_code
        except Abort:
            code = 130
        sys.exit(code)


def complain(words: str) -> None:
    """Write one line to stderr."""
    sys.stderr.write(f"amends: {words}\n")


def _usage(error: TyperException) -> str:
    """Say in one line what is wrong with the command as typed, and which help to ask for."""
    message = " ".join(error.format_message().split()).rstrip(".")
    context = getattr(error, "ctx", None)
    hint = "" if context is None else f" (see `{context.command_path} --help`)"
    return f"{message[:1].lower()}{message[1:]}{hint}"
