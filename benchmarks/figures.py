"""What a scenario measures, and what it is held against."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Against(StrEnum):
    """The store's limit that a figure is a ratio to."""

    NOTHING = ""
    COMMIT = "commits"
    """A time in milliseconds ÷ the time of one durable one-row commit."""
    ROWS = "of the grouped insert"
    """Rows per second ÷ rows per second of a grouped insert."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table."""

    key: str
    label: str
    value: float
    unit: str
    target: str = ""
    against: Against = Against.NOTHING


@dataclass(frozen=True, slots=True)
class Limits:
    """What the store itself can do, measured with its bare driver in the same run."""

    commits_per_second: float
    rows_per_second: float

    def ratio(self, figure: Figure) -> float | None:
        """Hold a figure against its limit."""
        match figure.against:
            case Against.COMMIT:
                return figure.value / 1000 * self.commits_per_second
            case Against.ROWS:
                return figure.value / self.rows_per_second
            case Against.NOTHING:
                return None


def answer(*figures: Figure) -> list[dict[str, Any]]:
    """Give figures as JSON, for the process that asked."""
    return [asdict(figure) for figure in figures]
