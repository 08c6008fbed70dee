"""Signals in the core, on a simulated store: whatever is lost, bodies receive each once and in order."""

from __future__ import annotations

import pytest

from amends.persistence.records import Status
from tests.sagas.playing import CANCEL, POST, POST_AGAIN, play
from tests.sagas.programs import Node
from tests.sagas.rules import check_end, simulate
from tests.sagas.simulated import Simulation
from tests.sagas.test_kill_points import FAILS, MISHAPS, block, step

NAP: Node = {"kind": "sleep", "seconds": 3}
A: Node = {"kind": "receive", "name": "a"}
B: Node = {"kind": "receive", "name": "b"}
IN_TIME: Node = {"kind": "listen", "name": "a", "seconds": 3}
SHAPES: dict[str, Node] = {
    "received between steps": block("sequence", step(1), A, step(2), B, A),
    "two at once": block("gather", A, block("sequence", A, step(1)), B),
    "in a group that fails": block("try", block("group", A, block("sequence", B, FAILS)), A),
    "against a step": block("sequence", {"kind": "race", "patient": False, "parts": [A, step(1)]}, A),
    "against a timer": block("sequence", {"kind": "race", "patient": True, "parts": [A, NAP]}, A, A),
    "in time or not": block("sequence", IN_TIME, step(1), IN_TIME, A),
    "under a time-out": block("sequence", {"kind": "timeout", "seconds": 5, "parts": [A, B, NAP, A]}, A),
    "in a savepoint that is undone": block("sequence", block("savepoint", step(1), A, FAILS), A, step(2)),
    "received, then undone": block("sequence", step(1), A, step(2), B, FAILS),
    "before and after a new beginning": block("sequence", A, step(1), block("anew", A, step(2), B, A)),
}


def shape(name: str) -> Simulation:
    """Give a run with one script for each step: it lands."""
    return simulate(SHAPES[name])


def settled(run: Simulation) -> None:
    """Check that the run has ended, received what it asked for, and that no rule is broken."""
    check_end(run)
    assert run.row.status in (Status.COMPLETED, Status.COMPENSATED)


@pytest.mark.parametrize("name", SHAPES)
def test_a_worker_lost_at_any_point_costs_no_signal(name: str) -> None:
    """S10, L1: with the signals sent at once, or each as late as can be."""
    for early in (0, 1, 9):
        ticks = play(shape(name), [POST] * early).ticks
        for place in range(ticks + 1):
            for mishap in MISHAPS:
                run = play(shape(name), [*[POST] * early, *[0] * place, mishap, POST_AGAIN, mishap])
                settled(run)


@pytest.mark.parametrize("name", SHAPES)
def test_a_cancel_among_signals_turns_the_run_round(name: str) -> None:
    """S4, S11, S16: what comes after the decision is taken, and does nothing."""
    for place in range(play(shape(name)).ticks):
        run = play(shape(name), [*[0] * place, POST, CANCEL, POST, POST_AGAIN])
        check_end(run)


def test_letters_are_received_in_the_order_of_sending() -> None:
    """L1, and section 2: what waits in the mailbox is received as it was sent."""
    run = play(simulate(block("sequence", NAP, A, A, step(1), A)), [POST, POST, POST])
    settled(run)
    assert b'["a",1],["a",2],1,["a",3]' in (run.row.result or b"")


def test_letters_that_came_before_a_new_beginning_are_received_after_it() -> None:
    """L1: they carry over with the inbox (section 2, continue_as_new), and are there after any replay."""
    run = play(simulate(block("sequence", A, block("anew", A, step(1), A))), [POST, POST, POST])
    settled(run)
    assert run.row.result == b'[["a",2],1,["a",3]]'
