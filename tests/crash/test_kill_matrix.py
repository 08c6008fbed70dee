"""Every scenario, killed at its durable points, on both stores (semantics, section 7)."""

import zlib
from collections.abc import Callable, Sequence

import pytest

from tests.crash.cases import CASES, Case
from tests.crash.children import Exit
from tests.crash.cycles import AT_ONCE, Bench, Blow

SPREAD = 4
"""So many of a scenario's points are tried on each store by `make test`; `make soak` tries all."""

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
Counted = Callable[[Case, int], None]


@pytest.fixture
def counted(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Counted:
    """Give what says how many cycles were made; none is a failure."""

    def count(case: Case, cycles: int) -> None:
        assert cycles > 0, f"{case.name}: nothing was killed"
        record_property("cycles", f"{case.name}|{request.node.callspec.params['store']}|{cycles}")

    return count


@each_case
def test_a_killed_run_makes_amends(bench: Bench, case: Case, counted: Counted) -> None:
    """S1 to S27, at some points of each scenario, others for each store; the unkilled run is the measure."""
    with bench.cycle(case, ()) as cycle:
        (unkilled,) = cycle.end()
        assert bench.world.snapshot(cycle.run) == dict.fromkeys(case.stands, 1)
    points = _spread(len(unkilled.points), case.name + cycle.url)
    exits = bench.cycles(case, [(Blow(at),) for at in points])
    counted(case, _killed(exits))


@pytest.mark.soak
@each_case
def test_a_run_killed_anywhere_makes_amends(bench: Bench, case: Case, counted: Counted) -> None:
    """S1 to S27, at every point until the run ends before it is reached."""
    exits: list[Exit] = []
    while not exits or all(end.killed for end in exits[-AT_ONCE:]):
        exits += bench.cycles(case, [(Blow(len(exits) + n),) for n in range(1, AT_ONCE + 1)])
    counted(case, _killed(exits))


def _spread(count: int, seed: str) -> list[int]:
    """Give points spread evenly over all, beginning somewhere: each time and place has other ones."""
    begin = zlib.crc32(seed.encode()) % count
    return sorted({(begin + n * count // SPREAD) % count + 1 for n in range(SPREAD)})


def _killed(exits: Sequence[Exit]) -> int:
    return sum(end.killed for end in exits)
