"""Testing a saga with kills, failures and cancels at every point of its run, one schedule after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from amends.sagas.testing.failures import CrashTestFailed
from amends.sagas.testing.judging import Allowed, allowed_after, judged
from amends.sagas.testing.mishaps import KILLS, Mishap, Point
from amends.sagas.testing.post import Given
from amends.sagas.testing.schedule import Fault, Schedule, Scheduled, faults_at, parse, written
from amends.sagas.testing.stage import Stage
from amends.sagas.testing.subject import Subject
from amends.sagas.testing.telling import story
from amends.sagas.testing.world import World

PROVOKING = (Mishap.FAILS, Mishap.UNANSWERED)
"""What makes a run turn round; the worker is killed at every point of that too."""


@dataclass(slots=True)
class CrashReport:
    """What a crash test did: `cycles` runs played, the `points` of the undisturbed one, ends by status.

    `left_out` counts the schedules that `most` left no room for.
    """

    saga: str
    cycles: int = 0
    points: int = 0
    left_out: int = 0
    ends: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        ends = ", ".join(f"{count} {status}" for status, count in sorted(self.ends.items()))
        more = f"; {self.left_out} schedules were left out (most=)" if self.left_out else ""
        return (
            f"{self.saga}: {self.cycles} runs over {self.points} points, all as they should be: {ends}{more}"
        )


def crash_test(
    saga: Callable[..., Any],
    input: Any,
    *,
    world: World,
    resources: Any = None,
    schedule: str | None = None,
    twice: bool = False,
    accept: Callable[[Any], bool] | None = None,
    may_park: bool = False,
    most: int = 5_000,
    signals: Sequence[Given] = (),
) -> CrashReport:
    """Play a saga again and again in this process, each time with something else going wrong.

    The saga's own steps are called, on a simulated durable store, in virtual time. The worker is killed
    before and after every durable write and every call; every step fails, times out, and loses its answer;
    the run is cancelled at every point; and the worker is killed at every point of a run that turns round
    because a step failed. `twice=True` kills it once more after every kill and every cancel.

    However that goes, the world's snapshot must be as at the start or as at the end of an undisturbed run (or
    the run is parked and says what is owed). Steps are executed at least once, so the world must treat two
    calls with the same idempotency key as one. What a run which is undone leaves behind by steps that are
    declared irreversible is allowed for; so is any world for which `accept` gives true. `may_park=True`
    allows compensations to give up.

    `signals` are sent to the run in their order, each a name and a payload, or a name, a payload and a
    message's id, or one person's decision (`Decides`): when the run waits for it; but also as soon as there
    is a run, and only after a timer that the run waits for beside it. Their sender is killed before and after
    it sends, and sends the same again.

    `input` is the saga's argument, or a tuple of its arguments; `resources` is what steps get as
    `current_step().resources` (the world, when left out); `schedule` plays just one schedule; `most` bounds
    the runs. Raises `CrashTestFailed`, an `AssertionError`, for the first schedule under which the saga
    ends otherwise.

    >>> print(crash_test(sell, "kettle", world=shop))
    """
    subject = Subject.of(saga, input, world, resources, signals)
    report = CrashReport(subject.saga.name)
    exploring = _Exploring(subject, report, accept=accept, may_park=may_park)
    exploring.all(exploring.schedules(twice=twice) if schedule is None else [parse(schedule)], most)
    return report


class _Exploring:
    """Plays schedules, the simplest first: what a run comes to says what can go wrong with it next."""

    def __init__(
        self,
        subject: Subject,
        report: CrashReport,
        *,
        accept: Callable[[Any], bool] | None,
        may_park: bool,
    ) -> None:
        self._subject = subject
        self._report = report
        self._played: dict[Schedule, list[Point]] = {}
        self._undisturbed = undisturbed = subject.play(Scheduled(()))
        report.points = len(undisturbed.points)
        self._allowed = allowed_after(undisturbed, subject, accept=accept, may_park=may_park)

    def schedules(self, *, twice: bool) -> Iterator[Schedule]:
        """Give every schedule, those with one fault first."""
        yield ()
        singles = [(fault,) for point in self._played[()] for fault in faults_at(point)]
        yield from singles
        for (first,) in singles:
            provoking = first.mishap in PROVOKING
            if provoking or (twice and first.mishap is not Mishap.TIMES_OUT):
                for point in self._after(first):
                    for mishap in KILLS:
                        yield (first, Fault(point.kind, point.number, mishap))

    def all(self, schedules: Iterable[Schedule], most: int) -> None:
        """Play so many schedules at most, and count the rest. Raises `CrashTestFailed`."""
        for planned in schedules:
            if self._report.cycles >= most:
                self._report.left_out += 1
            else:
                self.one(planned)

    def one(self, schedule: Schedule) -> None:
        """Play one schedule. Raises `CrashTestFailed`."""
        stage = self._subject.play(Scheduled(schedule))
        self._played[schedule] = stage.points
        self._report.cycles += 1
        problem = (
            _another_start(stage, self._allowed)
            or ("" if schedule else _another_end(stage, self._undisturbed))
            or judged(stage, self._allowed)
        )
        if not problem and len(stage.hit) < len(schedule):
            problem = _another_way(stage, schedule)
        if problem:
            self._fail(stage, schedule, problem)
        if stage.run is not None:
            self._report.ends[stage.run.row.status.value] += 1

    def _after(self, first: Fault) -> list[Point]:
        """Give the points of a run after its first fault."""
        points = self._played.get((first,), [])
        places = [
            place
            for place, point in enumerate(points)
            if (point.kind, point.number) == (first.kind, first.number)
        ]
        return points[places[0] + 1 :] if places else []

    def _fail(self, stage: Stage, schedule: Schedule, problem: str) -> None:
        text = written(schedule)
        name = self._subject.saga.name
        title = (
            f"{name} doesn't end as it should under the schedule {text!r}"
            if schedule
            else (f"{name} doesn't end as it should even when nothing goes wrong")
        )
        told = story(stage, self._allowed, problem)
        raise CrashTestFailed(
            f"{title}:\n\n{told}\n\nPlay just this one again: crash_test(..., schedule={text!r})",
            schedule=text,
            problem=problem,
        )


def _another_start(stage: Stage, allowed: Allowed) -> str:
    if stage.before == allowed.start:
        return ""
    return (
        "the world isn't the same after reset() as it was the first time: there is nothing to compare it with"
    )


def _another_end(stage: Stage, undisturbed: Stage) -> str:
    if stage.after == undisturbed.after:
        return ""
    return (
        "played twice while nothing goes wrong, it doesn't do the same: the saga or the world isn't "
        "deterministic, or something outside the world survives reset()"
    )


def _another_way(stage: Stage, schedule: Schedule) -> str:
    hit = {(point.kind, point.number) for point, _ in stage.hit}
    missed = next(fault for fault in schedule if (fault.kind, fault.number) not in hit)
    last = stage.points[-1] if stage.points else "nothing"
    return (
        f"the run never came to {missed.kind} {missed.number}; it went up to {last}. If it did before, then "
        "the saga or the world isn't deterministic: something outside the world survives reset()"
    )
