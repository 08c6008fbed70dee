"""A storm: the server restarts every few seconds, workers are killed, and all the while runs are started."""

from __future__ import annotations

import itertools
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.crash.cases import CASES, Case
from tests.crash.children import Job
from tests.crash.cycles import Bench
from tests.crash.stores import Ledger
from tests.crash.waiting import eventually
from tests.servers import Server

FITTING = tuple(
    case
    for case in CASES
    if case.act is None
    and not case.signals
    and not case.decisions
    and case.saga not in ("poisonous", "asked", "fragile", "holds", "falters")
    and "parked" not in case.ends
)
"""The cases that nobody has to help along."""
WORKERS = 3
LIVES = 10_000
LEASE_MS = 3_000
BATCH = 6
MESSAGES = 5
SIGNALLED = 0.3
"""The part of all starts that are by signals."""
MOST_ASKING = 20
"""So many may ask at a time: a server has no more connections to give than it has."""
ANSWERED_WITHIN_S = 120.0
ENDED = 0


@dataclass(frozen=True)
class Pace:
    """How often things happen, in seconds: the shortest and the longest time between two of them."""

    restart: tuple[float, float]
    kill: tuple[float, float]
    start: tuple[float, float]


@dataclass
class Storm:
    """What was started while the storm lasted, and what befell it. `signalled` are the runs of signals."""

    bench: Bench
    ledger: Ledger
    server: Server
    pace: Pace
    chance: random.Random
    runs: dict[str, Case] = field(default_factory=dict)
    signalled: list[str] = field(default_factory=list)
    befallen: Counter[str] = field(default_factory=Counter)
    workers: list[Job] = field(default_factory=list)
    sent: list[tuple[dict[str, Any], Job]] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def rage(self, seconds: float) -> None:
        """Let it last for so long; then everything that was asked for is acknowledged."""
        acts = {"restart": self._restart, "kill": self._kill, "start": self._start}
        self.workers = [self._worker() for _ in range(WORKERS)]
        end = time.monotonic() + seconds
        due = {name: time.monotonic() + self._pause(name) for name in acts}
        while (now := time.monotonic()) < end:
            name = min(due, key=lambda each: due[each])
            if due[name] > now:
                time.sleep(min(due[name] - now, end - now))
                continue
            acts[name]()
            due[name] = time.monotonic() + self._pause(name)
            self._raise_the_fallen()
        eventually(self._all_answered, seconds=ANSWERED_WITHIN_S, what="all that was asked for is answered")

    def drain(self, seconds: float) -> float:
        """Wait for the end of all runs, then let the workers end orderly; tell how long it took."""
        begun = time.monotonic()
        eventually(self._all_ended, seconds=seconds, what="all runs have ended")
        took = time.monotonic() - begun
        for worker in self.workers:
            worker.signal(signal.SIGTERM)
            assert worker.wait()[-1].code == ENDED, worker.log()
        return took

    def _all_answered(self) -> bool:
        self._raise_the_fallen()
        self._insist()
        return not self.sent

    def _all_ended(self) -> bool:
        self._raise_the_fallen()
        return not self.ledger.going()

    def _pause(self, name: str) -> float:
        shortest, longest = getattr(self.pace, name)
        return self.chance.uniform(shortest, longest)

    def _restart(self) -> None:
        how = signal.SIGINT if self.befallen["restart"] % 2 else signal.SIGQUIT
        self.server.stop(how)
        time.sleep(self.chance.uniform(0, 0.5))
        self.server.start()
        self.befallen["restart"] += 1

    def _kill(self) -> None:
        with suppress(ProcessLookupError):  # one that found no server has ended by itself a moment ago
            self.chance.choice(self.workers).signal(signal.SIGKILL)
            self.befallen["kill"] += 1

    def _start(self) -> None:
        self._insist()
        if len(self.sent) >= MOST_ASKING:
            self.befallen["held back"] += 1
            return
        if self.chance.random() < SIGNALLED:
            run = f"heard-{next(self.numbers)}"
            self.signalled.append(run)
            numbers = [*range(MESSAGES), 0, 1]
            self._send(
                self._spec("tell", saga="books_all", runs=[run], most=MESSAGES, numbers=numbers, teller=0)
            )
            return
        case = self.chance.choice(FITTING)
        some = [f"{case.saga}-{next(self.numbers)}" for _ in range(BATCH)]
        for run in some:
            self.runs[run] = case
            for name, directives in case.directives.items():
                self.bench.world.direct(run, name, directives)
            for name, directives in case.undoing.items():
                self.bench.world.direct(run, name, directives, verb="undo")
        self._send(self._spec("start", saga=case.saga, runs=some))

    def _send(self, spec: dict[str, Any]) -> None:
        self.sent.append((spec, self.bench.zygote.start(spec)))

    def _insist(self) -> None:
        """See what became of those who asked for something; who wasn't answered asks for the same again."""
        asked, self.sent = self.sent, []
        for spec, job in asked:
            job.poll()
            if not job.over:
                self.sent.append((spec, job))
            elif job.exits[-1].code != ENDED:
                self.befallen["asked again"] += 1
                self._send(spec)

    def _raise_the_fallen(self) -> None:
        """Start workers anew that found no server when they began, as whoever supervises them would."""
        for place, worker in enumerate(self.workers):
            worker.poll()
            if worker.over:
                self.befallen["started anew"] += 1
                self.workers[place] = self._worker()

    def _worker(self) -> Job:
        return self.bench.zygote.start(*[self._spec("work", saga="linear", work=True)] * LIVES)

    def _spec(self, play: str, *, work: bool = False, **details: Any) -> dict[str, Any]:
        limits = {"lease_ms": LEASE_MS, "poison_after": 1_000}
        return self.bench.spec(play, self.ledger, work=work, **limits, **details)


def summary(storm: Storm, seconds: float, drained: float, ends: Sequence[str]) -> str:
    """Say what has happened, in a line."""
    counted = ", ".join(f"{count} {name}" for name, count in sorted(Counter(ends).items()))
    befallen = ", ".join(f"{count} × {name}" for name, count in sorted(storm.befallen.items()))
    return (
        f"{seconds:.0f} s of storm ({befallen}); {len(storm.runs)} runs and {len(storm.signalled)} with "
        f"{MESSAGES * len(storm.signalled)} signals: {counted}; drained within {drained:.1f} s"
    )
