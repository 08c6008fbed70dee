"""Several simulated workers over one store, with mishaps chosen by a seed."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from amends.sagas.testing.failures import SimulationFailed
from amends.sagas.testing.judging import Allowed, allowed_after, judged
from amends.sagas.testing.mishaps import KILLS, Mishap, Mishaps, Point
from amends.sagas.testing.post import Given
from amends.sagas.testing.stage import Stage
from amends.sagas.testing.subject import Subject
from amends.sagas.testing.telling import story
from amends.sagas.testing.world import World

LEASE_MS = 10_000
MOST_MISHAPS = 6
"""So much goes wrong in one run at most; then everything goes well, so that it comes to an end."""
AT_WRITES = (
    Mishap.KILLED_BEFORE,
    Mishap.KILLED_AFTER,
    Mishap.KILLED_AFTER,
    Mishap.FROZEN,
    Mishap.CANCELLED_BEFORE,
    Mishap.CANCELLED_AFTER,
)
AT_STEPS = (
    Mishap.KILLED_BEFORE,
    Mishap.KILLED_AFTER,
    Mishap.KILLED_AFTER,
    Mishap.FROZEN,
    Mishap.FAILS,
    Mishap.TIMES_OUT,
    Mishap.UNANSWERED,
    Mishap.CANCELLED_DURING,
)
AT_UNDOING = (
    Mishap.KILLED_BEFORE,
    Mishap.KILLED_AFTER,
    Mishap.FROZEN,
    Mishap.FAILS,
    Mishap.TIMES_OUT,
    Mishap.UNANSWERED,
)


class Seeded(Mishaps):
    """Chooses mishaps, delays and workers by a seed: the same seed, the same choices."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - it must repeat
        self._left = self._random.randrange(MOST_MISHAPS + 1)
        self._chance = self._random.choice((0.05, 0.15, 0.4))
        self._slow = self._random.random() < 0.5  # noqa: PLR2004 - as often as not

    def at(self, point: Point) -> Mishap | None:
        """Let something go wrong now and then, as long as there is something left to go wrong."""
        if not self._left or self._random.random() >= self._chance:
            return None
        self._left -= 1
        if point.kind == "signal":
            return self._random.choice(KILLS)
        if point.probing:
            return Mishap.KILLED_AFTER
        if point.kind == "write":
            return self._random.choice(AT_WRITES)
        return self._random.choice(AT_UNDOING if point.undoing else AT_STEPS)

    def commit_ms(self) -> int:
        """Let commits take up to five milliseconds."""
        return self._random.randrange(6)

    def answer_ms(self) -> int:
        """Answers come at once, or in any order, and now and then very late."""
        if not self._slow or self._random.random() < 0.5:  # noqa: PLR2004 - as often as not
            return 0
        return self._random.choice((1, 3, 20, 700))

    def take_over_ms(self) -> int:
        """Notice a dead worker when its lease is over."""
        return LEASE_MS

    def freeze_ms(self) -> int:
        """Freeze for less than the lease, for longer, or for longer than any time-out."""
        return self._random.choice((50, LEASE_MS - 1, LEASE_MS + 1, 3 * LEASE_MS, 100_000))

    def signal_ms(self, number: int) -> int | None:
        """Send each signal when it is waited for, or soon after the one before, or days later."""
        del number
        return self._random.choice((None, 0, 1, 5, 200, 20_000, 1_000_000_000))

    def pick(self, count: int) -> int:
        """Choose any of them."""
        return self._random.randrange(count)


@dataclass(slots=True)
class Trace:
    """What a simulation did: the hash of everything that happened, by seed, and the ends by status.

    `lines` is everything that happened, an event a line, where a single seed was played.
    """

    saga: str
    hashes: dict[int, str] = field(default_factory=dict)
    ends: Counter[str] = field(default_factory=Counter)
    mishaps: Counter[str] = field(default_factory=Counter)
    lines: tuple[str, ...] = ()

    def add(self, seed: int, stage: Stage) -> None:
        """Take in what happened under one seed."""
        self.hashes[seed] = stage.digest
        self.mishaps.update(mishap.value for _, mishap in stage.hit)
        if stage.run is not None:
            self.ends[stage.run.row.status.value] += 1
        self.lines = tuple(stage.lines) if len(self.hashes) == 1 else ()

    @property
    def hash(self) -> str:
        """The hash over all seeds: the same seeds, the same saga and the same world give the same one."""
        text = "\n".join(f"{seed} {digest}" for seed, digest in self.hashes.items())
        return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()

    def __str__(self) -> str:
        ends = ", ".join(f"{count} {status}" for status, count in sorted(self.ends.items()))
        went_wrong = sum(self.mishaps.values())
        return f"{self.saga}: {len(self.hashes)} seeds, {went_wrong} mishaps, trace {self.hash}: {ends}"


def simulate(
    saga: Callable[..., Any],
    input: Any,
    *,
    seeds: Iterable[int] = range(200),
    workers: int = 3,
    world: World | None = None,
    resources: Any = None,
    accept: Callable[[Any], bool] | None = None,
    may_park: bool = False,
    signals: Sequence[Given] = (),
) -> Trace:
    """Play a saga once for each seed, with several workers over one simulated store, in virtual time.

    The seed decides what goes wrong and when: workers die, or freeze for longer than their lease and wake;
    calls fail, time out and lose their answers; replies of commits come late; messages and starts come
    twice; the run is cancelled. The same seed does the same again, in any process:
    `simulate(..., seeds=[17])`.

    After each seed the run must have ended, or be parked and say what is owed; the world, where one is given,
    must be as `crash_test` wants it; and no rule may be broken: each intent on record before its effect, no
    step after the decision to undo, compensations in reverse order and never after their success, nothing
    owed at an end, the keys stable, each signal received once and in order. The parameters are those of
    `crash_test`; the seed also chooses when each of `signals` is sent, whether its sender is killed, and
    which are sent again.
    Raises `SimulationFailed`, an `AssertionError`, for the first seed that ends otherwise.

    >>> print(simulate(sell, "kettle", world=shop, seeds=range(1_000)))
    """
    subject = Subject.of(saga, input, world, resources, signals)
    undisturbed = subject.play(Mishaps()) if world is not None else None
    allowed = allowed_after(undisturbed, subject, accept=accept, may_park=may_park)
    trace = Trace(subject.saga.name)
    for seed in seeds:
        stage = subject.play(Seeded(seed), workers)
        problem = judged(stage, allowed)
        if problem:
            _fail(stage, allowed, seed, problem)
        trace.add(seed, stage)
    return trace


def _fail(stage: Stage, allowed: Allowed, seed: int, problem: str) -> None:
    told = story(stage, allowed, problem)
    raise SimulationFailed(
        f"{stage.saga.name} doesn't end as it should with seed {seed}:\n\n{told}\n\n"
        f"Play just this one again: simulate(..., seeds=[{seed}])",
        seed=seed,
        problem=problem,
        trace=tuple(stage.lines),
    )
