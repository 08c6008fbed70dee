"""Attempts: each is on record before it is made, and what is learnt of one says nothing of the others."""

from __future__ import annotations

from amends.persistence.records import Status
from amends.sagas.journal import Kind
from tests.sagas.playing import play
from tests.sagas.programs import Node
from tests.sagas.rules import check_end, simulate
from tests.sagas.world import answer

FAILS: Node = {"kind": "sequence", "parts": [{"kind": "once", "n": 1}, {"kind": "raise"}]}
RETRIED: Node = {"kind": "sequence", "parts": [{"kind": "thrice", "n": 1}]}
THEN_FAILS: Node = {
    "kind": "sequence",
    "parts": [{"kind": "thrice", "n": 1}, {"kind": "once", "n": 2}, {"kind": "raise"}],
}


def test_a_refusal_says_nothing_of_the_attempt_before_it() -> None:
    """S2: the first attempt landed and its answer was lost; that the second is refused undoes nothing."""
    run = play(simulate(RETRIED, [["unknown", "not_landed"]]))
    check_end(run)
    assert run.row.status is Status.COMPENSATED


def test_the_attempt_after_a_lost_one_is_on_record_before_it_runs() -> None:
    """S9: a compensation whose worker died under way is tried again as another attempt."""
    run = simulate(FAILS)
    run.claim()
    run.land(0)
    run.turn()
    run.kill()
    run.claim()
    assert [flight.attempt.attempt for flight in run.flying] == [2]
    assert run.journal[-1].kind is Kind.UNDO_LOST
    play(run)
    check_end(run)


def test_the_compensation_of_what_came_before_waits_for_the_later_one() -> None:
    """S7: it starts when the later effect is undone, not when that has begun."""
    run = simulate(THEN_FAILS)
    run.claim()
    for _ in range(2):
        run.land(0)
        run.turn()
    assert [(flight.attempt.ref, flight.attempt.undoing) for flight in run.flying] == [(2, True)]
    run.land(0)
    run.turn()
    assert [(flight.attempt.ref, flight.attempt.undoing) for flight in run.flying] == [(1, True)]


def test_a_late_outcome_lets_nothing_go_on() -> None:
    """S5: the run holds its second attempt when the first one's answer comes; that one is waited for."""
    run = simulate(THEN_FAILS)
    run.claim()
    first = run.flying[0]
    run.land(0, word="timeout")
    run.turn()
    run.advance()
    run.claim()
    run.report(answer(first.attempt, "ok", first.started, run.now))
    run.turn()
    assert run.journal[-1].kind is Kind.LATE
    assert [(flight.attempt.ref, flight.attempt.attempt) for flight in run.flying] == [(1, 2)]


def test_a_late_result_does_not_replace_the_recorded_one() -> None:
    """S8: the compensation gets the result that the body got, whatever another attempt returned."""
    run = simulate(THEN_FAILS)
    run.claim()
    run.kill(frozen=True)
    run.claim()
    run.land(0)
    run.turn()
    lost = run.strays.pop(0)
    run.world.land(lost.attempt)
    late = answer(lost.attempt, "ok", lost.started, run.now)
    late.result = b'"another"'
    run.report(late)
    run.turn()
    assert run.journal[-1].kind is Kind.LATE
    assert run.history.steps[1].result == b"1"
    play(run)
    check_end(run)


def test_a_run_lost_in_a_step_and_overdue_starts_no_further_attempt() -> None:
    """S4: what became of the lost attempt and the decision are in one turn; nothing is called after it."""
    refused: Node = {"kind": "try", "parts": [{"kind": "pivot", "n": 1}, {"kind": "thrice", "n": 2}]}
    run = simulate(refused, [["not_landed"]], deadline=5_000)
    run.claim()
    run.land(0)
    run.turn()
    run.kill()
    run.now += 6_000
    run.claim()
    assert run.history.compensating
    assert run.flying == []
    play(run)
    check_end(run)
