"""What was killed where, in numbers: kept in files, since tests run in several processes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from uuid import uuid4

from tests.crash.cycles import Ending
from tests.crash.kill_points import KillPoint, applying, struck


@dataclass(slots=True)
class Tally:
    """The cycles that one test made of one scenario on one store.

    `applies` are the points which the unkilled run came by, `kills` says how often each was struck.
    """

    scenario: str
    store: str
    seed: str = ""
    cycles: int = 0
    breaches: int = 0
    applies: list[str] = field(default_factory=list)
    kills: dict[str, int] = field(default_factory=dict)

    def measure(self, unkilled: Ending) -> None:
        """Note which points the scenario has."""
        self.applies = sorted(applying(unkilled.first, unkilled.story))

    def killed(self, ends: Sequence[Ending]) -> None:
        """Count cycles in which a process was killed; in the others the run ended before that."""
        for end in ends:
            killed = [child for child in end.exits if child.killed]
            self.cycles += bool(killed)
            for child in killed:
                for point in struck(child, end.story):
                    self._count(point)

    def met(self, point: KillPoint, ends: Sequence[Ending]) -> None:
        """Count cycles in which something else than a kill has happened."""
        self.cycles += len(ends)
        self._count(point, len(ends))

    def _count(self, point: KillPoint, times: int = 1) -> None:
        self.kills[point.value] = self.kills.get(point.value, 0) + times


def keep(tally: Tally, folder: Path) -> None:
    """Keep what was counted, as a file in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{uuid4().hex}.json").write_text(json.dumps(asdict(tally)), encoding="utf-8")


def tallies(folder: Path) -> list[Tally]:
    """Read what was kept in a folder."""
    return [Tally(**json.loads(path.read_text(encoding="utf-8"))) for path in sorted(folder.glob("*.json"))]
