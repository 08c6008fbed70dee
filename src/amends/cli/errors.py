"""What goes wrong at the command line."""

from __future__ import annotations

import re

from amends.persistence.errors import AmendsError
from amends.persistence.unfit import flat
from amends.persistence.unfit import told as one_line

__all__ = ["CommandError", "flat", "one_line", "without_password"]


class CommandError(AmendsError):
    """A command can't do what it was asked to: its message is the one line that the person sees."""


def without_password(text: str) -> str:
    """Leave out the password that a URL in a text gives as a parameter."""
    return re.sub(r"(password=)[^&\s]*", r"\1***", text)
