"""The kill matrix as a page: `python -m tests.crash.table FOLDER [--date DATE]` after `make soak`.

It fails where a kill point that a scenario has was never struck on one of the stores, where there were fewer
cycles than are promised, and where anything was broken.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.cases import CASES
from tests.crash.kill_points import KillPoint
from tests.crash.tally import Tally, tallies
from tests.crash.world import ROOT

PAGE = ROOT / "docs" / "design" / "kill-matrix.md"
PROMISED = 5_000
STORES = ("sqlite", "postgres")
NOWHERE = "·"


@dataclass(slots=True)
class Matrix:
    """All that was counted: kills by scenario, point and store."""

    kills: defaultdict[tuple[str, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    applies: defaultdict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    cycles: Counter[str] = field(default_factory=Counter)
    breaches: int = 0
    seeds: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, found: Sequence[Tally]) -> Matrix:
        """Add up what the tests have kept."""
        matrix = cls()
        for tally in found:
            place = tally.scenario, tally.store
            matrix.kills[place].update(tally.kills)
            matrix.applies[place].update(tally.applies)
            matrix.cycles[tally.store] += tally.cycles
            matrix.breaches += tally.breaches
            matrix.seeds.add(tally.seed)
        return matrix

    @property
    def total(self) -> int:
        """The cycles on all stores."""
        return self.cycles.total()

    @property
    def cells(self) -> int:
        """How many combinations of scenario, point and store were struck."""
        return sum(count > 0 for kills in self.kills.values() for count in kills.values())

    def empty(self, scenarios: Sequence[str]) -> list[str]:
        """Name the cells that should have been struck and weren't."""
        found = [f"{name}, on {store}: nothing at all" for name in scenarios for store in STORES
                 if not self.applies[name, store]]  # fmt: skip
        for (scenario, store), points in sorted(self.applies.items()):
            found += [
                f"{scenario}, on {store}: {p}" for p in sorted(points) if not self.kills[scenario, store][p]
            ]
        return found

    def wrong(self, scenarios: Sequence[str]) -> list[str]:
        """Say in words what keeps this from being the proof that it should be."""
        found = [f"never struck: {cell}" for cell in self.empty(scenarios)]
        if self.total < PROMISED:
            found.append(f"{self.total} cycles are fewer than {PROMISED}")
        if self.breaches:
            found.append(f"{self.breaches} breaches")
        return found


def page(matrix: Matrix, scenarios: Sequence[str], date: str | None) -> str:
    """Give the page."""
    return "\n".join([*_summary(matrix, scenarios, date), *_legend(matrix), *_cells(matrix, scenarios), ""])


def _summary(matrix: Matrix, scenarios: Sequence[str], date: str | None) -> list[str]:
    bound = f"{3 / matrix.total:.2g}" if matrix.total and not matrix.breaches else "none"
    on_each = ", ".join(f"{matrix.cycles[store]:,} on {store}" for store in STORES)
    facts = [
        ("cycles", f"{matrix.total:,} ({on_each})"),
        ("cells struck: scenario × kill point × store", f"{matrix.cells:,}"),
        ("cells that should have been struck and weren't", str(len(matrix.empty(scenarios)))),
        (
            "breaches: runs lost, compensations skipped or doubled, steps after a decision",
            str(matrix.breaches),
        ),
        ("probability of a breach per cycle, at most (3/n, at 95 %)", bound),
        ("seed", ", ".join(sorted(matrix.seeds))),
        *([("date", date)] if date else []),
    ]
    return [
        "# The kill matrix",
        "",
        "Made by `make soak`. In each cycle the process that drives a run is killed with SIGKILL (or frozen,",
        "or its database fails to write) at one moment, another one goes on, and in the end the books of the",
        "services called are compared with the run's status and journal. Each scenario is killed at every",
        "durable write and at every call, twelve of them once more at every write of the recovery;",
        "`tests/crash/cases.py` has them all.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in facts),
        "",
    ]


def _legend(matrix: Matrix) -> list[str]:
    struck: Counter[str] = Counter()
    for kills in matrix.kills.values():
        struck.update(kills)
    return [
        "## The kill points",
        "",
        "F is the call of a step, C that of its compensation. A kill counts for each point that it strikes:",
        "a transaction may hold one step's outcome and the next one's intent.",
        "",
        "| | kill point | kills |",
        "|---|---|---:|",
        *(f"| {n} | {point.value} | {struck[point.value]:,} |" for n, point in enumerate(KillPoint, 1)),
        "",
    ]


def _cells(matrix: Matrix, scenarios: Sequence[str]) -> list[str]:
    numbers = range(1, len(KillPoint) + 1)
    return [
        "## Kills by scenario and kill point",
        "",
        f"SQLite/PostgreSQL; `{NOWHERE}` where a scenario has no such point: its unkilled run never does.",
        "",
        f"| scenario | {' | '.join(map(str, numbers))} |",
        f"|---|{'---|' * len(KillPoint)}",
        *(
            f"| {name} | {' | '.join(_cell(matrix, name, point) for point in KillPoint)} |"
            for name in scenarios
        ),
    ]


def _cell(matrix: Matrix, scenario: str, point: KillPoint) -> str:
    counts = [matrix.kills[scenario, store][point.value] for store in STORES]
    applies = any(point.value in matrix.applies[scenario, store] for store in STORES)
    return "/".join(map(str, counts)) if applies or any(counts) else NOWHERE


def main() -> int:
    """Write the page; tell what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--date")
    given = parser.parse_args()
    matrix = Matrix.of(tallies(given.folder))
    scenarios = [case.name for case in CASES]
    PAGE.write_text(page(matrix, scenarios, given.date), encoding="utf-8")
    wrong = matrix.wrong(scenarios)
    sys.stdout.write("".join(f"{line}\n" for line in wrong))
    sys.stdout.write(f"{matrix.total} cycles, {matrix.cells} cells: {PAGE.relative_to(ROOT)}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
