"""Random sagas, random mishaps: whatever happens, a run finishes or makes amends."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, event, example, given, note, settings
from hypothesis import strategies as st

from amends.persistence.records import Status
from amends.sagas.journal import Entry, Kind
from amends.sagas.news import Turn
from amends.sagas.reloading import reload
from amends.sagas.run import LiveRun
from tests.sagas.playing import play
from tests.sagas.programs import COMPENSATABLE, calls, program, programs
from tests.sagas.rules import check_end, shown, simulate
from tests.sagas.simulated import LIMITS, Simulation

FORWARD = ["ok", "ok", "error", "unknown", "not_landed", "fatal", "bad_result"]
BACKWARD = ["ok", "ok", "error", "unknown"]
scripts = st.lists(st.lists(st.sampled_from(FORWARD), max_size=3), max_size=9)
undo_scripts = st.lists(st.lists(st.sampled_from(BACKWARD), max_size=3), max_size=9)
choices = st.lists(st.integers(0, 255), max_size=60)
orders = st.lists(
    st.integers(0, 255).map(lambda which: (which // 16) * 16 + (0, 1, 9, 10)[which % 4]), max_size=60
)
deadlines = st.none() | st.none() | st.sampled_from([1, 2_500, 30_000])

QUICK = settings(
    max_examples=int(os.environ.get("AMENDS_EXAMPLES", "200")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
THOROUGH = settings(QUICK, max_examples=20_000)


def observe(run: Simulation) -> None:
    note(shown(run))
    event(run.row.status.value)


def kills(
    node: dict[str, Any], forward: Any, backward: Any, deadline: int | None, mishaps: list[int]
) -> None:
    run = play(simulate(node, forward, backward, deadline), mishaps)
    observe(run)
    check_end(run)


def again(run: Simulation, length: int) -> tuple[LiveRun, Turn]:
    """Replay the first entries of a run's journal."""
    entries = run.journal[:length]
    live = LiveRun(program, run.row, LIMITS)
    at = entries[-1].at if entries else run.row.created_at
    turn = reload(live, entries, [], at)
    live.close()
    return live, turn


RAISES_AT_ONCE = {
    "kind": "gather",
    "parts": [
        {"kind": "raise"},
        {"kind": "limited", "parts": [{"kind": "once", "n": 1}, {"kind": "once", "n": 2}]},
        {"kind": "gather", "parts": [{"kind": "once", "n": 3}]},
    ],
}
"""It raises in the turn that asks for its first steps: they are taken back, which is news to nobody."""


def asked(entries: list[Entry]) -> list[tuple[Any, ...]]:
    """Give what a body asks for at one point of its journal."""
    found = []
    for entry in entries:
        if entry.kind not in (Kind.INTENT, Kind.ABANDONED):
            break
        if entry.kind is Kind.INTENT:
            found.append((entry.ref, entry.name, entry.payload))
    return found


def replays(node: dict[str, Any], forward: Any, backward: Any, order: list[int]) -> None:
    run = play(simulate(node, forward, backward, None), order)
    observe(run)
    check_end(run)
    journal = run.journal
    fresh = sum(entry.effect == "read" for entry in run.history.steps.values())
    for length in range(1, len(journal)):
        live, turn = again(run, length)
        assert live.park_reason in ("", run.history.park_reason), length
        rest = asked(journal[length:])
        if any(e.kind is Kind.SWITCH for e in journal[:length]) or fresh:
            continue
        told = [entry for entry in turn.entries if entry.kind in (Kind.INTENT, Kind.ABANDONED)]
        assert asked(told)[: len(rest)] == rest, length
    if run.row.status is Status.COMPLETED:
        ends = next(entry for entry in journal if entry.kind is Kind.ENDED)
        _live, turn = again(run, ends.seq - 1)
        assert [entry.payload for entry in turn.entries if entry.kind is Kind.ENDED] == [ends.payload]


LOST_BEHIND_THE_PIVOT = {
    "kind": "sequence",
    "parts": [{"kind": "once", "n": 0}, {"kind": "pivot", "n": 0}, {"kind": "careful", "n": 0}],
}
"""Its last step is lost with its worker, undone, and the run is stuck forward: nothing is in doubt then."""


@given(programs, scripts, undo_scripts, deadlines, choices)
@example(LOST_BEHIND_THE_PIVOT, [], [], None, [0, 0, 0, 0, 2])
@QUICK
def test_a_run_killed_at_random_finishes_or_makes_amends(
    node: dict[str, Any], forward: Any, backward: Any, deadline: int | None, mishaps: list[int]
) -> None:
    """S1–S14, S24, S27, L1: whatever is lost, and whenever, the world holds what the status says."""
    kills(node, forward, backward, deadline, mishaps)


@given(programs, scripts, undo_scripts, orders)
@example(RAISES_AT_ONCE, [], [], [])
@QUICK
def test_a_body_asks_for_the_same_at_every_prefix_of_its_journal(
    node: dict[str, Any], forward: Any, backward: Any, order: list[int]
) -> None:
    """Section 3: a body replays in the recorded order, whatever races and times out in it."""
    replays(node, forward, backward, order)


@given(programs, scripts, choices)
@QUICK
def test_what_completes_gives_the_same_result_after_any_kills(
    node: dict[str, Any], forward: Any, mishaps: list[int]
) -> None:
    """Section 3: the result of a completed run is what its body returns when its journal is replayed."""
    run = play(simulate(node, forward, [], None), mishaps)
    observe(run)
    check_end(run)
    if run.row.status is Status.COMPLETED:
        ends = next(entry for entry in run.journal if entry.kind is Kind.ENDED)
        _live, turn = again(run, ends.seq - 1)
        assert [entry.payload for entry in turn.entries if entry.kind is Kind.ENDED] == [run.row.result]
        json.loads(run.row.result or b"")


def test_programs_have_compensations_to_speak_of() -> None:
    """The random sagas are worth something only where they hold effects that can be undone."""
    node = {"kind": "sequence", "parts": [{"kind": "once", "n": 1}, {"kind": "raise"}]}
    run = play(simulate(node, [], [], None))
    assert [call["kind"] in COMPENSATABLE for call in calls(node)] == [True]
    assert run.row.status is Status.COMPENSATED


@pytest.mark.soak
@given(programs, scripts, undo_scripts, deadlines, choices)
@THOROUGH
def test_a_run_killed_at_random_finishes_or_makes_amends_at_length(
    node: dict[str, Any], forward: Any, backward: Any, deadline: int | None, mishaps: list[int]
) -> None:
    """S1–S14, S24, S27, L1, with many more sagas."""
    kills(node, forward, backward, deadline, mishaps)


@pytest.mark.soak
@given(programs, scripts, undo_scripts, orders)
@THOROUGH
def test_a_body_asks_for_the_same_at_every_prefix_at_length(
    node: dict[str, Any], forward: Any, backward: Any, order: list[int]
) -> None:
    """Section 3, with many more sagas."""
    replays(node, forward, backward, order)
