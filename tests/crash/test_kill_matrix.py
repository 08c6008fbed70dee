"""Every scenario, killed at its durable points, on both stores (semantics, section 7)."""

import zlib
from collections.abc import Callable, Sequence

import pytest

from tests.crash.cases import CASES, Case
from tests.crash.cycles import AT_ONCE, Bench, Blow, Ending

SPREAD = 4
"""So many of a scenario's points are tried on each store by `make test`; `make soak` tries all."""
TWICE = (
    "linear",
    "last refused",
    "gather with one failing",
    "race",
    "compensation unanswered",
    "cancel in mid-step",
)
EVERY = 11
"""Of the points of a first and a second kill together, every so many are tried."""

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
some_cases = pytest.mark.parametrize(
    "case", [c for c in CASES if c.name in TWICE], ids=lambda case: case.name
)
Counted = Callable[[Case, Sequence[Ending]], None]


@pytest.fixture
def counted(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Counted:
    """Give what says in how many cycles something was killed; none is a failure."""

    def count(case: Case, ends: Sequence[Ending]) -> None:
        cycles = sum(end.first.killed for end in ends)
        assert cycles > 0, f"{case.name}: nothing was killed"
        record_property("cycles", f"{case.name}|{request.node.callspec.params['store']}|{cycles}")

    return count


@each_case
def test_a_killed_run_makes_amends(bench: Bench, case: Case, counted: Counted) -> None:
    """S1 to S27, at some points of each scenario, others for each store; the unkilled run is the measure."""
    with bench.cycle(case) as cycle:
        unkilled = cycle.end()
    assert unkilled.story.standing == dict.fromkeys(case.stands, 1)
    points = _spread(len(unkilled.first.points), SPREAD, case.name + cycle.run)
    counted(case, bench.cycles(case, [(Blow(at),) for at in points]))


@some_cases
def test_a_run_killed_again_in_its_recovery_makes_amends(bench: Bench, case: Case, counted: Counted) -> None:
    """S10: compensating, and going forward, can be killed anywhere, also the second time."""
    with bench.cycle(case) as cycle:
        points = _spread(len(cycle.end().first.points), 3, cycle.run)
    counted(case, bench.cycles(case, [(Blow(at), Blow(2 + at // 2)) for at in points]))


@pytest.mark.soak
@each_case
def test_a_run_killed_anywhere_makes_amends(bench: Bench, case: Case, counted: Counted) -> None:
    """S1 to S27, at every point until the run ends before it is reached."""
    ends: list[Ending] = []
    while not ends or all(end.first.killed for end in ends[-AT_ONCE:]):
        ends += bench.cycles(case, [(Blow(len(ends) + n),) for n in range(1, AT_ONCE + 1)])
    counted(case, ends)


@pytest.mark.soak
@some_cases
def test_a_run_killed_anywhere_twice_makes_amends(bench: Bench, case: Case, counted: Counted) -> None:
    """S10, at every eleventh pair of points."""
    with bench.cycle(case) as cycle:
        count = len(cycle.end().first.points)
    pairs = [(Blow(at), Blow(again)) for at in range(1, count + 1) for again in range(1, count + 1)]
    counted(case, bench.cycles(case, pairs[::EVERY]))


def _spread(count: int, wanted: int, seed: str) -> list[int]:
    """Give points spread evenly over all, beginning somewhere: each time and place has other ones."""
    begin = zlib.crc32(seed.encode()) % count
    return sorted({(begin + n * count // wanted) % count + 1 for n in range(wanted)})
