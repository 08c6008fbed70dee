"""The database fails in mid-run: a commit isn't done, or is done and its reply is lost."""

from collections import Counter

import pytest

from amends.sagas.journal import Kind
from tests.crash.cases import CASES, Case
from tests.crash.cycles import Bench, Blow, Ending

FAILING = ("linear", "gather with one failing", "compensation retried", "cancel")
STRIDE = 4

some_cases = pytest.mark.parametrize(
    "case", [c for c in CASES if c.name in FAILING], ids=lambda case: case.name
)
each_way = pytest.mark.parametrize(("how", "only"), [("fail", "commit"), ("lose", "committed")])


@some_cases
@each_way
def test_a_lost_commit_costs_nothing(bench: Bench, case: Case, how: str, only: str) -> None:
    """S9, S10: what has landed isn't done again, and no attempt is held to be lost: the process lives."""
    with bench.cycle(case) as cycle:
        unharmed = cycle.end()
    commits = unharmed.first.points.count("commit")
    ends = bench.cycles(case, [(Blow(at, how, only),) for at in range(2, commits, STRIDE)])
    assert ends
    for end in ends:
        assert end.first.code == 0
        assert _calls(end) == _calls(unharmed)
        assert not [entry for entry in end.story.entries if entry.kind in (Kind.LOST, Kind.UNDO_LOST)]


def _calls(end: Ending) -> Counter[tuple[str, str]]:
    return Counter((call.verb, call.name) for call in end.story.calls)
