"""The kill matrix's page: what a kill struck, what is missing, and what makes the page fail."""

from __future__ import annotations

from typing import Any

import pytest

from amends.sagas.journal import Entry, Kind
from tests.crash.children import Exit
from tests.crash.claims import Story
from tests.crash.kill_points import KillPoint, applying, struck
from tests.crash.stores import Record
from tests.crash.table import Matrix, page
from tests.crash.tally import Tally

SCENARIOS = ("linear", "refused")


def story(*entries: tuple[Kind, int, dict[str, Any]]) -> Story:
    """Give what is known of a run with such a journal."""
    made = [Entry(seq, kind, seq, ref, meta=meta) for seq, (kind, ref, meta) in enumerate(entries, 1)]
    row: Any = None
    return Story(Record(row, made, [], ()), [], {})


BOOKED = story((Kind.INTENT, 1, {"key": "k1", "effect": "compensatable"}))
PAID = story((Kind.INTENT, 2, {"key": "k2", "effect": "pivot"}))
GARBLED = story(
    (Kind.INTENT, 3, {"key": "k3", "effect": "compensatable"}), (Kind.FAILED, 3, {"outcome": "landed"})
)


@pytest.mark.parametrize(
    ("said", "run", "points"),
    [
        ("commit start intent:1", BOOKED, {KillPoint.BEFORE_START}),
        ("committed start intent:1", BOOKED, {KillPoint.STARTED, KillPoint.INTENT}),
        ("call apply hotel k1", BOOKED, {KillPoint.INTENT}),
        ("sent apply hotel k1", BOOKED, {KillPoint.SENT}),
        ("landed apply hotel k1", BOOKED, {KillPoint.LANDED}),
        ("answered apply hotel k1", BOOKED, {KillPoint.ANSWERED}),
        ("commit landed:1 intent:2", BOOKED, {KillPoint.ANSWERED}),
        ("committed landed:1 intent:2", BOOKED, {KillPoint.OUTCOME, KillPoint.INTENT}),
        ("commit failed:1 switch", BOOKED, {KillPoint.ANSWERED, KillPoint.CLASSIFIED}),
        ("committed switch undo:1", BOOKED, {KillPoint.DECIDED, KillPoint.UNDO_INTENT}),
        ("sent undo hotel k1-undo", BOOKED, {KillPoint.UNDO_SENT}),
        ("landed undo hotel k1-undo", BOOKED, {KillPoint.UNDO_LANDED}),
        ("commit undone:1 ended", BOOKED, {KillPoint.UNDO_LANDED, KillPoint.DISCHARGED}),
        ("committed undone:1 ended", BOOKED, {KillPoint.UNDO_OUTCOME}),
        ("committed inbox:cancel", BOOKED, {KillPoint.INBOX}),
        ("commit inbox:operator", BOOKED, {KillPoint.BEFORE_ACT}),
        ("committed inbox:operator", BOOKED, {KillPoint.AFTER_ACT, KillPoint.INBOX}),
        ("sent apply money k2", PAID, {KillPoint.SENT, KillPoint.PIVOT_SENT}),
        ("committed landed:2", PAID, {KillPoint.OUTCOME, KillPoint.PIVOT_COMMITTED}),
        ("answered apply car k3", GARBLED, {KillPoint.ANSWERED, KillPoint.RESULT_LOST}),
        ("call read north", BOOKED, set()),
        ("committed", BOOKED, set()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_kill_is_known_by_where_it_struck(said: str, run: Story, points: set[KillPoint]) -> None:
    """Section 7: what was called, or what a transaction held, says which of the kill points it was."""
    assert struck(Exit(1, -9, late=False, said=[["commit"], said.split()]), run) == points


def test_a_scenario_has_the_points_that_its_unkilled_run_comes_by() -> None:
    """Section 7: no compensation, no kill points of one; a worker may be frozen in any."""
    forward = [["commit", "start"], ["call", "apply", "hotel", "k1"]]
    assert applying(Exit(1, 0, late=False, said=forward), BOOKED) == {
        KillPoint.BEFORE_START,
        KillPoint.INTENT,
        KillPoint.FROZEN,
    }
    back = [*forward, ["committed", "undone:1"]]
    assert KillPoint.WRITE_FAILS in applying(Exit(1, 0, late=False, said=back), BOOKED)


def tallies(cycles: int, kills: dict[str, int]) -> list[Tally]:
    """Give a tally of each scenario on each store."""
    return [
        Tally(scenario, store, "1", cycles, applies=["outcome committed"], kills=dict(kills))
        for scenario in SCENARIOS
        for store in ("sqlite", "postgres")
    ]


def test_a_full_matrix_is_right_and_told() -> None:
    matrix = Matrix.of(tallies(1_500, {"outcome committed": 7}))
    assert matrix.wrong(SCENARIOS) == []
    told = page(matrix, SCENARIOS, "2030-01-01")
    for words in (
        "| cycles | 6,000 (3,000 on sqlite, 3,000 on postgres) |",
        "(3/n, at 95 %) | 0.0005 |",
        "| cells struck: scenario × kill point × store | 4 |",
        "| seed | 1 |",
        "| date | 2030-01-01 |",
        "| 7 | outcome committed | 28 |",
        "| linear | · | · | · | · | · | · | 7/7 |",
    ):
        assert words in told
    assert "date" not in page(matrix, SCENARIOS, None)


def test_a_point_that_was_never_struck_fails() -> None:
    matrix = Matrix.of(tallies(5_000, {}))
    assert len(matrix.wrong(SCENARIOS)) == 4
    assert matrix.wrong(SCENARIOS)[0] == "never struck: linear, on postgres: outcome committed"


def test_a_scenario_that_was_never_played_fails() -> None:
    matrix = Matrix.of(tallies(5_000, {"outcome committed": 1}))
    assert matrix.wrong([*SCENARIOS, "pivot"]) == [
        "never struck: pivot, on sqlite: nothing at all",
        "never struck: pivot, on postgres: nothing at all",
    ]


def test_too_few_cycles_and_breaches_fail() -> None:
    few = tallies(10, {"outcome committed": 1})
    few[0].breaches = 1
    matrix = Matrix.of(few)
    assert matrix.wrong(SCENARIOS) == ["40 cycles are fewer than 5000", "1 breaches"]
    assert "(3/n, at 95 %) | none |" in page(matrix, SCENARIOS, None)
