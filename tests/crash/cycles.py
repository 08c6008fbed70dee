"""Cycles of a case: a run is started, its process killed or its database broken, and it is brought to its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from tests.crash.cases import Case
from tests.crash.children import Exit, Job, Zygote
from tests.crash.claims import Story, breaches, told
from tests.crash.stores import Store, record_of
from tests.crash.world import World

AT_ONCE = 4
"""So many cycles are under way at a time: most of their time is waiting."""


@dataclass(frozen=True)
class Blow:
    """What befalls a child: at the `at`-th point, in the manner `how` (see `points.py`), counting `only` some."""

    at: int
    how: str = "kill"
    only: str = ""


@dataclass(frozen=True)
class Bench:
    """What cycles are made on."""

    world: World
    zygote: Zygote
    store: Store

    @contextmanager
    def cycle(self, case: Case, blows: Sequence[Blow]) -> Iterator[Cycle]:
        """Begin a cycle; it can be ended as long as the block runs."""
        run = f"{case.saga}-{uuid4().hex}"
        for name, directives in case.directives.items():
            self.world.direct(run, name, directives)
        for name, directives in case.undoing.items():
            self.world.direct(run, name, directives, verb="undo")
        with self.store() as url:
            spec: dict[str, Any] = {
                "play": "drive", "url": url, "world": self.world.path, "saga": case.saga, "run": run,
                "cancel_at": case.cancel_at,
            }  # fmt: skip
            struck = [spec | {"at": blow.at, "how": blow.how, "only": blow.only} for blow in blows]
            yield Cycle(self, case, blows, run, url, self.zygote.start(*struck, spec, spec))

    def cycles(self, case: Case, all_blows: Sequence[Sequence[Blow]]) -> list[Exit]:
        """Make a cycle for each of `all_blows`, several at a time; give how the first child of each ended."""
        first: list[Exit] = []
        for begin in range(0, len(all_blows), AT_ONCE):
            with ExitStack() as stack:
                batch = [stack.enter_context(self.cycle(case, blows)) for blows in all_blows[begin : begin + AT_ONCE]]
                first += [cycle.end()[0] for cycle in batch]
        return first


@dataclass(frozen=True)
class Cycle:
    """One run, from its start over its crashes to its end."""

    bench: Bench
    case: Case
    blows: Sequence[Blow]
    run: str
    url: str
    job: Job

    def end(self) -> list[Exit]:
        """Wait for the run's end and check everything that must hold then."""
        exits = self.job.wait()
        record = record_of(self.url, self.run)
        assert record is not None, self._words(exits, "the run is lost", None)
        story = Story(record, self.bench.world.calls(self.run), self.bench.world.snapshot(self.run))
        found = breaches(story) if exits[-1].code == 0 else [f"the last child ended with {exits[-1].code}"]
        if record.row.status not in self.case.ends:
            found.append(f"the run ended {record.row.status}; it may end {sorted(self.case.ends)}")
        assert not found, self._words(exits, "\n".join(found), story)
        return exits

    def _words(self, exits: Sequence[Exit], what: str, story: Story | None) -> str:
        crashes = ", ".join(f"{e.points[-1] if e.points else '–'} ({len(e.points)}): {e.code}" for e in exits)
        told_story = "" if story is None else told(story)
        return f"{self.case.name}, {list(self.blows)}: {what}\nchildren: {crashes}\n{told_story}\n{self.job.log()}"
