"""Every scenario, struck at each of its kill points, on both stores (semantics, section 7)."""

import zlib
from collections.abc import Callable, Iterator, Sequence

import pytest

from tests.crash.cases import CASES, CORE, Case
from tests.crash.cycles import AT_ONCE, Bench, Blow, Ending
from tests.crash.kill_points import AIMED, KillPoint
from tests.crash.points import FAIL, FREEZE
from tests.crash.tally import Tally

SPREAD = {"sqlite": 2, "postgres": 2}
"""So many of a scenario's points are tried by `make test`, at most 400 in all; `make soak` tries them all.

The core's are tried on both stores, the others' on one of them.
"""
FIRST_KILLS = 4
"""After so many first kills of a scenario, spread over it, every write of the recovery is the second."""
IN_STEPS = ("call", "sent", "landed", "answered")
"""The points at which a worker is frozen."""
FEW = ("last refused", "pivot", "compensation retried", "aborted")


def cases(*names: str) -> pytest.MarkDecorator:
    some = [case for case in CASES if not names or case.name in names]
    return pytest.mark.parametrize("case", some, ids=lambda case: case.name)


@pytest.mark.parametrize(
    ("store", "case"),
    [
        pytest.param(store, case, id=f"{store}-{case.name}")
        for number, case in enumerate(CASES)
        for place, store in enumerate(SPREAD)
        if case.name in CORE or number % len(SPREAD) == place
    ],
    indirect=["store"],
)
def test_a_killed_run_makes_amends(bench: Bench, case: Case, tally: Tally) -> None:
    """S1 to S27, at some points of each scenario, others for each store; the unkilled run is the measure."""
    unkilled = measured(bench, case, tally)
    assert unkilled.story.standing == dict.fromkeys(case.stands, 1)
    points = _spread(len(unkilled.first.points), SPREAD[tally.store], bench.seed + case.name)
    tally.killed(bench.cycles(case, [(Blow(at),) for at in points]))
    assert tally.cycles


@cases(*FEW)
def test_a_run_killed_again_in_its_recovery_makes_amends(bench: Bench, case: Case, tally: Tally) -> None:
    """S10: compensating, and going forward, can be killed anywhere, also the second time."""
    points = _spread(len(measured(bench, case, tally).first.points), 2, bench.seed + case.name)
    tally.killed(bench.cycles(case, [(Blow(at), Blow(2 + at // 2)) for at in points]))
    assert tally.cycles


@cases(*FEW)
def test_a_worker_frozen_in_a_step_past_its_lease_does_no_harm(
    bench: Bench, case: Case, tally: Tally
) -> None:
    """S5, S6, S18: another has ended the run when the first one wakes; its late call is barred."""
    measured(bench, case, tally)
    tally.met(KillPoint.FROZEN, bench.freezes(case, [Blow(1, FREEZE, "call")]))


@cases(*FEW)
def test_a_write_that_fails_after_a_compensation_landed_costs_nothing(
    bench: Bench, case: Case, tally: Tally
) -> None:
    """S9, S10: that it succeeded is written at the next try, and it isn't called again."""
    _write_fails(bench, case, tally, most=1)


@pytest.mark.soak
@cases()
def test_a_run_killed_anywhere_makes_amends(bench: Bench, case: Case, tally: Tally) -> None:
    """S1 to S27, at every point until the run ends before it is reached."""
    measured(bench, case, tally)
    tally.killed(list(_everywhere(bench, case, lambda at: (Blow(at),), 0)))
    # Moments shift a little from run to run: what was missed is aimed at.
    for point, ways in AIMED.items():
        if point in tally.applies and not tally.kills.get(point):
            tally.killed(bench.cycles(case, [(Blow(1, only=name, holding=word),) for name, word in ways]))


@pytest.mark.soak
@cases(*CORE)
def test_a_run_killed_at_every_write_of_its_recovery_makes_amends(
    bench: Bench, case: Case, tally: Tally
) -> None:
    """S10, before each commit of the second process and after it."""
    count = len(measured(bench, case, tally).first.points)
    for at in _spread(count, FIRST_KILLS, bench.seed + case.name):
        for only in ("commit", "committed"):
            tally.killed(list(_everywhere(bench, case, _after(at, only), 1)))


@pytest.mark.soak
@cases()
def test_a_worker_frozen_anywhere_in_a_step_does_no_harm(bench: Bench, case: Case, tally: Tally) -> None:
    """S5, S6, S18, in the middle of the calls of each scenario: before, while and after it lands."""
    points = measured(bench, case, tally).first.points
    blows = [Blow((points.count(only) + 1) // 2, FREEZE, only) for only in IN_STEPS if only in points]
    tally.met(KillPoint.FROZEN, bench.freezes(case, blows))


@pytest.mark.soak
@cases()
def test_every_write_that_fails_after_a_compensation_landed_costs_nothing(
    bench: Bench, case: Case, tally: Tally
) -> None:
    """S9, S10, for each compensation of each scenario."""
    _write_fails(bench, case, tally, most=100)


def measured(bench: Bench, case: Case, tally: Tally) -> Ending:
    """Play a scenario unkilled: it says which points there are."""
    with bench.cycle(case) as cycle:
        unkilled = cycle.end()
    tally.measure(unkilled)
    return unkilled


def _everywhere(
    bench: Bench, case: Case, blows: Callable[[int], Sequence[Blow]], place: int
) -> Iterator[Ending]:
    """Strike at one point after the other, until the run ends before it is reached."""
    begin = 1
    while True:
        ends = bench.cycles(case, [blows(begin + n) for n in range(AT_ONCE)])
        yield from ends
        begin += AT_ONCE
        if not all(len(end.exits) > place and end.exits[place].killed for end in ends):
            return


def _after(first: int, only: str) -> Callable[[int], Sequence[Blow]]:
    return lambda at: (Blow(first), Blow(at, only=only))


def _write_fails(bench: Bench, case: Case, tally: Tally, *, most: int) -> None:
    said = measured(bench, case, tally).first.said
    writes = sum(words[0] == "commit" and any(w.startswith("undone") for w in words) for words in said)
    blows = [(Blow(at, FAIL, "commit", "undone"),) for at in range(1, min(writes, most) + 1)]
    ends = bench.cycles(case, blows)
    for end in ends:
        calls = [call.key for call in end.story.calls if call.verb == "undo" and call.directive == "answer"]
        assert len(calls) == len(set(calls)), "a compensation that had succeeded was called again"
    tally.met(KillPoint.WRITE_FAILS, ends)


def _spread(count: int, wanted: int, seed: str) -> list[int]:
    """Give points spread evenly over all, beginning somewhere: each time and place has other ones."""
    begin = zlib.crc32(seed.encode()) % count
    return sorted({(begin + n * count // wanted) % count + 1 for n in range(wanted)})
