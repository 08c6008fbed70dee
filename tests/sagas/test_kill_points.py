"""A worker is lost at every point of a run, once and twice: the world holds what the status says."""

from __future__ import annotations

import itertools

import pytest

from amends.persistence.records import Status
from tests.sagas.playing import (
    BEFORE_FIRST_WRITE,
    BEFORE_WRITE,
    CANCEL,
    FREEZE,
    KILL,
    LANDED_UNTOLD,
    SHUT,
    STRAY_LANDS,
    play,
)
from tests.sagas.programs import Node
from tests.sagas.rules import check_end, complaints, shown, simulate

MISHAPS = [KILL, FREEZE, SHUT, BEFORE_WRITE, BEFORE_FIRST_WRITE, LANDED_UNTOLD, LANDED_UNTOLD + 16]


def step(number: int, kind: str = "once") -> Node:
    return {"kind": kind, "n": number}


def block(kind: str, *parts: Node) -> Node:
    return {"kind": kind, "parts": list(parts)}


FAILS: Node = {"kind": "raise"}
SCENARIOS: dict[str, tuple[Node, list[list[str]], list[list[str]]]] = {
    "two steps": (block("sequence", step(1), step(2)), [], []),
    "fails at the end": (block("sequence", step(1), step(2), FAILS), [], []),
    "fails and both undone at the second try": (
        block("sequence", step(1), step(2), FAILS), [], [["error"], ["unknown"]],
    ),
    "second step fails unknown": (block("sequence", step(1), step(2, "thrice")), [[], ["unknown"] * 3], []),
    "second step is refused": (block("sequence", step(1), step(2)), [[], ["not_landed"]], []),
    "result can't be encoded": (block("sequence", step(1), step(2)), [[], ["bad_result"]], []),
    "a fork, one branch fails": (block("gather", step(1), step(2), step(3)), [[], ["fatal"], []], []),
    "a group, one branch fails": (block("group", step(1), step(2), step(3)), [[], ["fatal"], []], []),
    "a race": ({"kind": "race", "patient": False, "parts": [step(1), step(2)]}, [], []),
    "a step in finally": (block("finally", block("sequence", step(1), FAILS), step(2)), [], []),
    "a step in except": (block("try", step(1), step(2)), [["unknown"]], []),
    "times out": ({"kind": "timeout", "seconds": 1, "parts": [step(1, "thrice")]}, [["error"]], []),
    "left behind": (block("sequence", block("leave", step(1)), step(2)), [], []),
    "a read first": (block("sequence", step(1, "read"), step(2), FAILS), [["error"]], []),
    "a pivot and its tail": (
        block("sequence", step(1), step(2, "pivot"), step(3, "retriable"), step(4)),
        [[], ["error", "unknown"], ["error"] * 3], [],
    ),
    "a pivot that is refused": (block("sequence", step(1), step(2, "pivot")), [[], ["not_landed"]], []),
    "a pivot nobody knows of": (block("sequence", step(1), step(2, "pivot")), [[], ["unknown"] * 3], []),
    "a pivot that is looked for": (
        block("sequence", step(1, "probed"), step(2, "pivot_probed"), step(3)),
        [["unknown"], ["error", "unknown"]], [],
    ),
    "a pivot beside another step": (block("gather", step(1), step(2, "pivot_asks")), [["fatal"], []], []),
    "an error behind the pivot": (block("sequence", step(1), step(2, "pivot"), FAILS), [], []),
    "plain and irreversible": (
        block("sequence", step(1, "plain"), step(2, "irreversible"), step(3), FAILS), [], [],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_worker_lost_once_at_any_point_leaves_the_world_right(name: str) -> None:
    """S1–S13, S14, S24, S27, section 7: killed, frozen or shut down before, during and after every write."""
    node, forward, backward = SCENARIOS[name]
    undisturbed = play(simulate(node, forward, backward))
    check_end(undisturbed)
    for mishap, before in itertools.product(MISHAPS, range(undisturbed.ticks + 1)):
        run = play(simulate(node, forward, backward), [0] * before + [mishap])
        assert complaints(run) == [], (mishap, before, shown(run))


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_worker_lost_again_during_the_recovery_leaves_the_world_right(name: str) -> None:
    """S10, section 7: whatever was lost once is lost again soon after."""
    node, forward, backward = SCENARIOS[name]
    ticks = play(simulate(node, forward, backward)).ticks
    for first, second in itertools.product((KILL, FREEZE, SHUT, LANDED_UNTOLD), (KILL, BEFORE_FIRST_WRITE)):
        for before, between in itertools.product(range(0, ticks + 1, 2), range(4)):
            run = play(simulate(node, forward, backward), [0] * before + [first] + [0] * between + [second])
            assert complaints(run) == [], (first, second, before, between, shown(run))


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("then", [0, KILL, FREEZE, SHUT, STRAY_LANDS])
def test_a_run_cancelled_at_any_point_leaves_the_world_right(name: str, then: int) -> None:
    """S4, S11, S16: cancelled before and after every write, the worker lost or not just before or after."""
    node, forward, backward = SCENARIOS[name]
    for before in range(play(simulate(node, forward, backward)).ticks + 1):
        for what in ([CANCEL, then], [then, CANCEL], [CANCEL, 0, then], [FREEZE, CANCEL, 0, then]):
            run = play(simulate(node, forward, backward), [0] * before + what)
            assert complaints(run) == [], (what, before, shown(run))


def test_a_run_killed_again_and_again_after_every_write_makes_headway() -> None:
    """L1: a worker that lives for one write at a time still brings the run to its end."""
    node, forward, backward = SCENARIOS["fails and both undone at the second try"]
    run = play(simulate(node, forward, backward), [0, 0, 0, KILL] * 100)
    check_end(run)
    assert run.row.status is Status.COMPENSATED
