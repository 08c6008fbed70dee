"""The test kit knows the point of no return, and doesn't take the core's word for it (S14)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from amends.persistence.records import Status
from amends.sagas import attempts
from amends.sagas.history import History
from amends.sagas.journal import Entry, Kind
from amends.sagas.outcome import Effect
from amends.sagas.testing import CrashTestFailed, SimulationFailed, crash_test, simulate
from amends.sagas.testing.ledger import Ledger
from amends.sagas.testing.one_way import gone_back
from amends.sagas.testing.rules import folded
from amends.sagas.testing.store import StoredRun
from tests.testing_kit import pivots
from tests.testing_kit.shops import SHOP


def forget(_history: History, _step: object) -> None:
    """Take a pivot for a step like any other."""


@pytest.mark.parametrize(
    "saga", [pivots.sell_house, pivots.sell_probing, pivots.refused_a_deed, pivots.goes_another_way]
)
def test_a_good_saga_with_a_pivot_passes(saga: Callable[..., Any]) -> None:
    """S14: past the pivot it goes forward, or waits for a person; before it, it is undone."""
    report = crash_test(saga, "villa", world=SHOP, accept=bool)
    assert report.ends["compensated"] > 0
    simulate(saga, "villa", world=SHOP, seeds=range(60), accept=bool)


def test_a_run_that_forgets_its_pivot_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """S14: the pivot landed, and a cancel turned the run round all the same."""
    monkeypatch.setattr(History, "_file_pivot", forget)
    with pytest.raises(CrashTestFailed, match=r"although (its|the) pivot kit\.deed \(2\)") as caught:
        crash_test(pivots.sell_house, "villa", world=SHOP)
    assert "(S14)" in caught.value.problem


def test_a_pivot_of_unknown_outcome_taken_for_failed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """S14: nobody knows whether it landed, and what came before it is undone."""
    monkeypatch.setattr(attempts, "_in_doubt", lambda *_, **__: False)
    with pytest.raises(CrashTestFailed, match=r"the pivot kit\.deed \(2\) might have landed"):
        crash_test(pivots.sell_house, "villa", world=SHOP)


def test_the_simulator_finds_a_forgotten_pivot_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """S14, with several workers."""
    monkeypatch.setattr(History, "_file_pivot", forget)
    with pytest.raises(SimulationFailed, match=r"pivot kit\.deed \(2\)"):
        simulate(pivots.sell_house, "villa", world=SHOP, seeds=range(500))


def test_a_probe_that_denies_a_pivot_which_landed_is_found() -> None:
    """S2: what is taken for evidence must be true; the mistake is the saga's."""
    with pytest.raises(CrashTestFailed, match=r"the step, or its probe, has said that it hadn't") as caught:
        crash_test(pivots.believes_a_liar, "villa", world=SHOP, accept=bool)
    assert "a rule of amends itself" not in caught.value.problem


def journal(*kinds: tuple[Kind, int | None, dict[str, Any]]) -> list[Entry]:
    """Give a journal of a step (1) and a pivot (2), and what comes after them."""
    effects = (Effect.COMPENSATABLE, Effect.PIVOT)
    entries = []
    for ref, effect in enumerate(effects, 1):
        handler = {"handler": "undo@1"} if effect is Effect.COMPENSATABLE else {}
        meta = {"effect": effect.value, "key": f"key-{ref}", "timeout": 1_000, **handler}
        entries.append((Kind.INTENT, ref, meta))
        if ref == 1:
            entries.append((Kind.LANDED, 1, {"started": 1}))
    return [
        Entry(seq, kind, seq, ref, 1, None if ref is None else f"step-{ref}", dict(meta), b"{}")
        for seq, (kind, ref, meta) in enumerate([*entries, *kinds], 1)
    ]


LANDED = (Kind.LANDED, 2, {"started": 1})
UNKNOWN = (Kind.DOUBT, 2, {"started": 1, "outcome": "unknown"})
REFUSED = (Kind.FAILED, 2, {"started": 1, "outcome": "not_landed"})
SWITCH = (Kind.SWITCH, None, {"cause": "cancel"})
UNDO = (Kind.UNDO, 1, {"cause": "cancel", "handler": "undo@1"})
UNDONE = (Kind.UNDONE, 1, {"started": 1})
ENDED = (Kind.ENDED, None, {"status": "compensated"})


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        ([LANDED, SWITCH, UNDO, UNDONE, ENDED], "although the pivot step-2 (2) had landed"),
        ([LANDED, UNDO, UNDONE], "step-1 (1) is undone in entry 5"),
        ([UNKNOWN, SWITCH, UNDO, UNDONE, ENDED], "although the pivot step-2 (2) might have landed"),
        ([SWITCH, UNDO, UNDONE, ENDED], "although the pivot step-2 (2) might have landed"),
    ],
    ids=["landed", "landed, no decision", "in doubt", "under way"],
)
def test_a_journal_that_goes_back_behind_its_pivot_is_found(
    kinds: list[tuple[Kind, int | None, dict[str, Any]]], words: str
) -> None:
    """S14, read from the journal alone."""
    assert any(words in told for told in told_of(journal(*kinds), Status.COMPENSATED))


def test_a_journal_of_a_refused_pivot_that_is_undone_is_right() -> None:
    """S14: before the pivot has landed there is a way back."""
    assert told_of(journal(REFUSED, SWITCH, UNDO, UNDONE, ENDED), Status.COMPENSATED) == []


@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELLED, Status.PARTIALLY_COMPENSATED])
def test_a_run_that_passed_its_pivot_has_completed_or_is_parked(status: Status) -> None:
    """S14: no other end is true."""
    (told,) = told_of(journal(LANDED), status)
    assert told == f"the run {status} although its pivot step-2 (2) landed (S14)"
    assert told_of(journal(LANDED), Status.COMPLETED) == []


def test_a_run_parked_behind_its_pivot_is_stuck_forward() -> None:
    """S14: a person is told that there is no way back."""
    parked = journal(LANDED, (Kind.PARKED, None, {"reason": "nobody knows", "owed": []}))
    assert "not as stuck forward" in told_of(parked, Status.PARKED)[0]
    forward = journal(LANDED, (Kind.PARKED, None, {"reason": "stuck forward: no stamps", "owed": []}))
    assert told_of(forward, Status.PARKED) == []


def told_of(entries: list[Entry], status: Status) -> list[str]:
    """Give what is wrong with a run of this journal and status, in which nothing was really called."""
    row: Any = type("Row", (), {"status": status})
    run = StoredRun(row, rows=[entry.to_row("run-1") for entry in entries])
    return list(gone_back(run, folded(entries), Ledger()))
