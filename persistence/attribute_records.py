"""What a run shows of itself, as plain data: its attributes, which can be searched for, and its progress."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class AttributeKind(StrEnum):
    """What kind of value an attribute has; values of two kinds are never equal."""

    TEXT = "text"
    NUMBER = "number"
    FLAG = "flag"
    MOMENT = "moment"


@dataclass(frozen=True, slots=True)
class AttributeRow:
    """An attribute that a run has from now on, its value written in the one way that is searched for.

    Without a `kind` it is removed. `created_at` is when the run was created.
    """

    run_id: str
    name: str
    kind: AttributeKind | None
    value: str
    created_at: int


@dataclass(frozen=True, slots=True)
class Searched:
    """An attribute that runs are searched by."""

    name: str
    kind: AttributeKind
    value: str


@dataclass(frozen=True, slots=True)
class Shown:
    """What a turn has changed of what its run shows.

    `attributes` and `progress` are the whole of it, as JSON, or None where there is none; `rows` are the
    attributes that have changed.
    """

    attributes: str | None = None
    progress: str | None = None
    rows: tuple[AttributeRow, ...] = ()
