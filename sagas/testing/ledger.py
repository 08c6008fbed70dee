"""What was really called in a simulation, whatever anybody was told of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from amends.sagas.news import Attempt, Attempted
from amends.sagas.outcome import Outcome


@dataclass(slots=True)
class Call:
    """One call of a step, compensation or probe; `ended` and `outcome` are None while it is under way."""

    number: int
    attempt: Attempt
    started: int
    began: int
    ended: int | None = None
    outcome: Outcome | None = None
    error: str = ""
    told: str = ""

    @property
    def name(self) -> str:
        """What was called, as a person would say it."""
        attempt = self.attempt
        if attempt.undoing:
            return f"the compensation of {attempt.name}"
        return f"the probe of {attempt.name}" if self.probing else attempt.name

    @property
    def probing(self) -> bool:
        """Tell whether it is a call of the step's probe, which changes nothing."""
        return self.attempt.probing

    @property
    def forward(self) -> bool:
        """Tell whether it is a call of the step itself."""
        return not self.attempt.undoing and not self.probing

    @property
    def key(self) -> str:
        """The key of the step that was called, or is undone."""
        return self.attempt.forward_key if self.attempt.undoing else self.attempt.key


@dataclass(slots=True)
class Ledger:
    """The calls of a simulation in order; `count` numbers what happens, so that order can be told."""

    calls: list[Call] = field(default_factory=list)
    under_way: int = 0
    count: int = 0
    _open: dict[tuple[str, int, int, bool, bool, str], Call] = field(default_factory=dict)

    def begin(self, number: int, attempt: Attempt, worker: str, at: int) -> Call:
        """Note that a function is called."""
        self.count += 1
        call = Call(number, attempt, at, self.count)
        self.calls.append(call)
        self._open[_of(attempt.run_id, attempt, worker)] = call
        self.under_way += 1
        return call

    def end(self, run_id: str, item: Attempted, worker: str, at: int) -> Call | None:
        """Note what came of a call; None where it was known already."""
        call = self._open.pop(_of(run_id, item, worker), None)
        if call is None:
            return None
        self.count += 1
        self.under_way -= 1
        call.ended, call.outcome = at, item.outcome
        if item.exception is not None:
            call.error = f"{type(item.exception).__name__}: {item.exception}"
        return call

    def landed(self) -> Iterator[Call]:
        """Give the forward calls that returned."""
        return (call for call in self.calls if call.forward and call.outcome is Outcome.LANDED)

    def stands(self, key: str) -> bool:
        """Tell whether the effect under a key stands: it landed, and was not undone after that."""
        stands = False
        for call in self.calls:
            if call.key == key and call.outcome is Outcome.LANDED and not call.probing:
                stands = call.forward
        return stands


def _of(run_id: str, item: Attempt | Attempted, worker: str) -> tuple[str, int, int, bool, bool, str]:
    return run_id, item.ref, item.attempt, item.undoing, bool(getattr(item, "probing", False)), worker
