"""Statements that are built and compiled once in a process, however many logs it opens."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Final

from amends.persistence.tables import Tables

_KNOWN: Final[dict[Hashable, dict[str, Any]]] = {}


def once(owner: object, tables: Tables, *prepare: Callable[[], None]) -> None:
    """Let `prepare` set attributes of `owner`, or set those that it has set for tables of the same names.

    What is set must hold statements alone: it is shared by all logs of these tables, in all threads. To build
    and compile the statements of a log costs more than everything else about opening it.
    """
    key = type(owner), tables.schema, tables.version
    known = _KNOWN.get(key)
    if known is None:
        before = set(vars(owner))
        for each in prepare:
            each()
        known = {name: value for name, value in vars(owner).items() if name not in before}
        _KNOWN[key] = known
    vars(owner).update(known)
