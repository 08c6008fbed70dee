"""Cycles of a case: a run is started, its process killed or its database broken, until it has ended."""

from __future__ import annotations

import itertools
import signal
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from tests.crash.cases import Case
from tests.crash.children import Exit, Job, Zygote
from tests.crash.claims import Story, breaches, told
from tests.crash.points import FREEZE
from tests.crash.stores import Ledger, Store
from tests.crash.waiting import eventually
from tests.crash.world import World

ENDED, PARKED = 0, 4
"""Exit codes of children; `plays.py` has them all."""

LEASE_MS = 3_000
SHORT_LEASE_MS = 800
AT_ONCE = 4
"""So many cycles are under way at a time: most of their time is waiting."""


@dataclass(frozen=True)
class Blow:
    """What befalls a child at its `at`-th point, of those named `only` and `holding` something.

    `points.py` knows the ways.
    """

    at: int
    how: str = "kill"
    only: str = ""
    holding: str = ""


@dataclass(frozen=True)
class Ending:
    """A run's whole story, and how its children ended."""

    exits: Sequence[Exit]
    story: Story

    @property
    def first(self) -> Exit:
        return self.exits[0]


@dataclass(frozen=True)
class Bench:
    """What cycles, and other runs, are made on."""

    world: World
    zygote: Zygote
    store: Store
    seed: str = ""
    """What runs are named for, together with how many came before: retries wait for so long as it says."""
    numbers: Iterator[int] = field(default_factory=itertools.count)
    play: str = "drive"
    also: Mapping[str, Any] = field(default_factory=dict)
    """What else children are told."""

    @contextmanager
    def cycle(self, case: Case, *blows: Blow, lease_ms: int = LEASE_MS) -> Iterator[Cycle]:
        """Begin a cycle; it can be ended as long as the block runs."""
        run = f"{case.saga}-{uuid5(NAMESPACE_URL, f'{self.seed}|{case.name}|{next(self.numbers)}').hex}"
        for name, directives in case.directives.items():
            self.world.direct(run, name, directives)
        for name, directives in case.undoing.items():
            self.world.direct(run, name, directives, verb="undo")
        with self.store() as ledger:
            spec = self.spec(self.play, ledger, saga=case.saga, run=run, act=case.act, stop_at=case.stop_at)
            spec |= {"lease_ms": lease_ms, "signals": case.signals, "to_dormant": case.to_dormant}
            spec |= {"decisions": case.decisions, "by_webhook": case.by_webhook, **self.also}
            struck = [spec | asdict(blow) for blow in blows]
            yield Cycle(self, case, blows, run, ledger, spec, self.zygote.start(*struck, spec))

    def cycles(self, case: Case, all_blows: Sequence[Sequence[Blow]]) -> list[Ending]:
        """Make a cycle for each of `all_blows`, several at a time."""
        ends: list[Ending] = []
        for begin in range(0, len(all_blows), AT_ONCE):
            with ExitStack() as stack:
                some = all_blows[begin : begin + AT_ONCE]
                begun = [stack.enter_context(self.cycle(case, *blows)) for blows in some]
                ends += [cycle.end() for cycle in begun]
        return ends

    def freezes(self, case: Case, blows: Sequence[Blow]) -> list[Ending]:
        """Freeze a worker in each of these cycles, let another end the run, and let the first go on."""
        ends: list[Ending] = []
        for begin in range(0, len(blows), AT_ONCE):
            with ExitStack() as stack:
                some = blows[begin : begin + AT_ONCE]
                begun = [
                    stack.enter_context(self.cycle(case, blow, lease_ms=SHORT_LEASE_MS)) for blow in some
                ]
                others = [cycle.taken_over() for cycle in begun]
                for cycle, other in zip(begun, others, strict=True):
                    assert other.wait()[-1].code == ENDED, other.log()
                    cycle.job.thaw()
                    assert cycle.job.wait()[-1].code in (ENDED, PARKED), cycle.job.log()
                # What the first one says when it wakes is evidence: somebody has to look at it.
                last = [replace(cycle, job=self.zygote.start(cycle.spec | {"number": 1})) for cycle in begun]
                ends += [cycle.end() for cycle in last]
        return ends

    def spec(self, play: str, ledger: Ledger, **details: Any) -> dict[str, Any]:
        """Make a child's spec."""
        return {"play": play, "url": ledger.url, "world": self.world.path, **details}

    def story(self, ledger: Ledger, run: str, *, woken: bool = False) -> Story:
        """Read all that is known of a run; `woken` tells that workers were frozen meanwhile.

        Raises `AssertionError` when there is none.
        """
        record = ledger.record(run)
        assert record is not None, f"there is no run {run}"
        below = ledger.below(run)
        standing = self.world.snapshot(run) | Counter(ledger.rows(run))
        return Story(record, self.world.calls(run), standing, woken, below=below)


@dataclass(frozen=True)
class Cycle:
    """One run, from its start over its crashes to its end."""

    bench: Bench
    case: Case
    blows: Sequence[Blow]
    run: str
    ledger: Ledger
    spec: dict[str, Any]
    job: Job

    def taken_over(self) -> Job:
        """Wait until the worker stands still, and not with the lock of a SQLite file: that is a known limit.

        Then let another go on with the run.
        """

        def still() -> bool:
            if not self.job.frozen():
                return False
            if self.ledger.free():
                return True
            self.job.signal(signal.SIGCONT)
            return False

        eventually(still, what="it is frozen")
        return self.bench.zygote.start(self.spec | {"number": 1})

    def end(self) -> Ending:
        """Wait for the run's end and check everything that must hold then."""
        exits = self.job.wait()
        frozen = any(blow.how == FREEZE for blow in self.blows)
        story = replace(self.bench.story(self.ledger, self.run), woken=frozen)
        over = (ENDED, PARKED) if story.late else (ENDED,)
        found = breaches(story) if exits[-1].code in over else [f"the last child ended with {exits[-1].code}"]
        allowed = self.case.ends if self.blows else self.case.ends[:1]
        if story.record.row.status not in allowed and not story.late:
            found.append(f"the run ended {story.record.row.status}; it may end {allowed}")
        assert not found, self._words(exits, found, story)
        return Ending(exits, story)

    def _words(self, exits: Sequence[Exit], found: Sequence[str], story: Story) -> str:
        crashes = ", ".join(f"{e.points[-1] if e.points else '–'} ({len(e.points)}): {e.code}" for e in exits)
        return "\n".join(
            [f"{self.case.name}, {self.blows}:", *found, f"children: {crashes}", told(story), self.job.log()]
        )
