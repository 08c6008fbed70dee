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


def test_a_late_result_does_not_replace_the_recorded_one() -> None:
    """S8: the compensation gets the result that the body got, whatever another attempt returned."""
    run = simulate(THEN_FAILS)
    run.claim()
    lost = run.flying[0]
    run.kill(frozen=True)
    run.claim()
    run.land(0)
    run.turn()
    late = answer(lost.attempt, "ok", lost.started, run.now)
    late.result = b'"another"'
    run.report(late)
    run.turn()
    assert run.journal[-1].kind is Kind.LATE
    assert run.history.steps[1].result == b"1"
    play(run)
    check_end(run)
