"""Time, CPU time and flushes between two moments of a process."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from benchmarks.disk import flushes
from benchmarks.figures import Figure


@dataclass(slots=True)
class Stopwatch:
    """Measures its `with` block: `seconds`, `cpu_seconds` of all threads, `flushes` (None: not counted)."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    flushes: int | None = None

    def __enter__(self) -> Self:
        """Start."""
        self.flushes, self.cpu_seconds, self.seconds = flushes(), time.process_time(), time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop."""
        self.seconds = time.perf_counter() - self.seconds
        self.cpu_seconds = time.process_time() - self.cpu_seconds
        if self.flushes is not None:
            self.flushes = (flushes() or 0) - self.flushes

    def costs(self, count: int, noun: str, *, cpu_target: str = "", flush_target: str = "") -> list[Figure]:
        """Give CPU time and flushes for each of `count` things done in the block."""
        cpu = Figure(
            f"cpu_us_per_{noun}", f"CPU per {noun}", self.cpu_seconds / count * 1e6, "µs", cpu_target
        )
        if self.flushes is None:
            return [cpu]
        return [
            cpu,
            Figure(f"flushes_per_{noun}", f"flushes per {noun}", self.flushes / count, "", flush_target),
        ]
