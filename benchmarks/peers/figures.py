"""What is compared, and how a scenario's measured times become its one figure."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

STEPS = 5
"""Steps of a run in B."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A figure by which engines are compared: its key in ours, what it tells, how many things are done."""

    key: str
    label: str
    size: int
    unit: str
    less_is_better: bool = False
    times: int = 1
    """So many steps, or other things that are flushed, are in each of them."""

    @property
    def things(self) -> int:
        """Tell of how many things the flushes are counted, those of opening and closing among them."""
        return self.size * self.times

    def ratio(self, ours: float, theirs: float) -> float:
        """Tell how many times as good ours is."""
        return theirs / ours if self.less_is_better else ours / theirs


COMPARED = {
    "A": Compared("steps_per_second", "one run of {:,} steps in a row", 300, "steps/s"),
    "B": Compared("steps_per_second", "{:,} runs of 5 steps at once", 300, "steps/s", times=STEPS),
    "C": Compared("p50_ms", "{:,} runs of one step, one by one: p50", 100, "ms", less_is_better=True),
    "D": Compared("starts_per_second", "{:,} runs put to sleep", 500, "starts/s"),
    "F": Compared(
        "p50_ms", "{:,} runs wait, 50 are signalled: sent → finished, p50", 200, "ms", less_is_better=True
    ),
}
SIGNALLED = 50


def p50_ms(seconds: list[float]) -> float:
    """Give the median in milliseconds."""
    return median(seconds) * 1000
