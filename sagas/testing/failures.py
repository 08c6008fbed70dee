"""What the tools of this package raise when a saga doesn't end as it should."""

from __future__ import annotations


class CrashTestFailed(AssertionError):
    """A saga didn't end as it should under one schedule; `schedule` plays just that one again.

    `problem` is the finding in one sentence, the message the whole story.
    """

    def __init__(self, message: str, *, schedule: str, problem: str) -> None:
        super().__init__(message)
        self.schedule = schedule
        self.problem = problem


class SimulationFailed(AssertionError):
    """A saga didn't end as it should under one seed; `seed` plays just that one again.

    `problem` is the finding in one sentence, the message the whole story, `trace` everything that happened.
    """

    def __init__(self, message: str, *, seed: int, problem: str, trace: tuple[str, ...]) -> None:
        super().__init__(message)
        self.seed = seed
        self.problem = problem
        self.trace = trace
