"""Who is at the keyboard, for the record."""

from __future__ import annotations

import getpass


def me() -> str:
    """Give the name of the system's user."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "cli"
