"""The statements of what runs show of themselves: what a batch writes, and finding runs by attributes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, delete, update

from amends.persistence.attribute_records import Searched
from amends.persistence.backend import Backend
from amends.persistence.rows import ATTRIBUTE_COLUMNS


class Attributes:
    """What a batch does about attributes and progress; each member is one statement for many runs."""

    def __init__(self, backend: Backend) -> None:
        runs, attributes = backend.tables.runs, backend.tables.attributes
        self.show = backend.many(
            {"id": Text, "attributes": Text, "progress": Text},
            lambda cells: (
                update(runs)
                .where(runs.c.id == cells["id"])
                .values(
                    attributes=cells["attributes"],
                    progress=cells["progress"],
                    changed=backend.change_number(),
                )
            ),
        )
        self.unset = backend.many(
            {"run_id": Text, "name": Text},
            lambda cells: delete(attributes).where(
                attributes.c.run_id == cells["run_id"], attributes.c.name == cells["name"]
            ),
        )
        self.set = backend.insert(attributes, ATTRIBUTE_COLUMNS)


@dataclass(frozen=True, slots=True)
class Listed:
    """A query of runs, and the columns by which it is in order: when a run was created, and its id."""

    query: Select[tuple[Any, ...]]
    created_at: ColumnElement[int]
    run_id: ColumnElement[str]

    def newest_first(self) -> Select[tuple[Any, ...]]:
        """Order it, those created last first."""
        return self.query.order_by(self.created_at.desc(), self.run_id.desc())


def having(backend: Backend, query: Select[tuple[Any, ...]], wanted: Sequence[Searched]) -> Listed:
    """Keep of a query of runs those that have all attributes in `wanted`.

    The first attribute leads: its index holds its runs in order, so that a page costs what it shows.
    """
    runs = backend.tables.runs
    listed = Listed(query, runs.c.created_at, runs.c.id)
    for number, one in enumerate(wanted):
        has = backend.tables.attributes.alias(f"attribute_{number}")
        query = listed.query.join(has, has.c.run_id == runs.c.id).where(
            has.c.name == one.name, has.c.kind == one.kind.value, has.c.value == one.value
        )
        first = not number
        listed = Listed(
            query,
            has.c.created_at if first else listed.created_at,
            has.c.run_id if first else listed.run_id,
        )
    return listed
