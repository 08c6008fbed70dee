"""How the program ends: mistakes become one line on stderr, and each kind of end has its exit code."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NoReturn

from typer import Abort
from typer.core import TyperGroup
from typer.exceptions import TyperException

from amends.cli.errors import CommandError, one_line, without_password
from amends.persistence.errors import AmendsError

UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EBADF)
"""What is wrong with an output that takes no more."""


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
            _check_surroundings(sys.argv[1:])
            code = super().main(*args, **{**options, "prog_name": "amends", "standalone_mode": False})
        except AmendsError as error:
            complain(without_password(one_line(error)))
            code = ExitCode.MISTAKE
        except TyperException as error:
            complain(_usage(error))
            code = error.exit_code
        except OSError as error:
            if error.errno not in UNWRITABLE or error.filename is not None:
                raise
            silence()
            complain(f"the output can't be written: {error.strerror}")
            code = ExitCode.MISTAKE
        except Abort:
            code = 130
        sys.exit(code)


def silence() -> None:
    """Let nothing more be written to stdout, not even by the interpreter at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _check_surroundings(arguments: Sequence[str]) -> None:
    """Raise `CommandError` where there is nothing to write to, or an argument is no text."""
    if sys.stdout is None:
        raise CommandError("there is nothing to write to: stdout is closed; give /dev/null to hear nothing")
    for argument in arguments:
        if any("\ud800" <= c <= "\udfff" for c in argument):
            raise CommandError(f"the argument {argument!r} isn't UTF-8")


def complain(words: str) -> None:
    """Write one line to stderr."""
    if sys.stderr is not None:
        sys.stderr.write(f"amends: {words}\n")


def _usage(error: TyperException) -> str:
    """Say in one line what is wrong with the command as typed, and which help to ask for."""
    message = " ".join(error.format_message().split()).rstrip(".")
    context = getattr(error, "ctx", None)
    hint = "" if context is None else f" (see `{context.command_path} --help`)"
    return f"{message[:1].lower()}{message[1:]}{hint}"
