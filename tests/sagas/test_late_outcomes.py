"""Outcomes that come late: recorded, never obeyed, never dropped."""

from __future__ import annotations

from dataclasses import replace

from amends.persistence.records import Status
from amends.sagas.journal import Entry, Kind
from tests.sagas.playing import play
from tests.sagas.programs import Node
from tests.sagas.rules import check_end, simulate
from tests.sagas.simulated import Simulation
from tests.sagas.world import answer

ONE: Node = {"kind": "sequence", "parts": [{"kind": "once", "n": 1}]}
THRICE: Node = {"kind": "sequence", "parts": [{"kind": "thrice", "n": 1}, {"kind": "once", "n": 2}]}
CAUGHT: Node = {"kind": "try", "parts": [{"kind": "once", "n": 1}, {"kind": "sleep", "seconds": 3}]}
PLAIN: Node = {"kind": "sequence", "parts": [{"kind": "plain", "n": 1}, {"kind": "raise"}]}


def of(run: Simulation, kind: Kind) -> list[Entry]:
    return [entry for entry in run.journal if entry.kind is kind]


def thread_reports_late(run: Simulation, flight_number: int = 0) -> None:
    """Let the attempt time out, and its thread end well a moment later."""
    flight = run.flying[flight_number]
    run.now = flight.until
    run.land(flight_number, word="timeout")
    run.turn()
    run.now += 1
    run.world.land(flight.attempt)
    run.report(answer(flight.attempt, "ok", flight.started, run.now))


def test_a_thread_that_outlives_its_time_out_does_not_confuse_the_next_attempt() -> None:
    """S5: the late outcome of attempt 1 is evidence; attempt 2 is still waited for."""
    run = simulate(THRICE)
    run.claim()
    thread_reports_late(run)
    play(run)
    check_end(run)
    assert [entry.attempt for entry in of(run, Kind.LATE)] == [1]
    assert run.row.status is Status.COMPLETED
    assert of(run, Kind.LANDED)[0].attempt == 2


def test_a_late_outcome_does_not_park_a_run_whose_next_attempt_is_under_way() -> None:
    """S5, L1: an attempt that ends twice is not counted twice."""
    run = simulate(THRICE)
    run.claim()
    first = run.flying[0]
    run.now = first.until
    run.land(0, word="timeout")
    run.turn()
    run.advance()
    run.claim()
    assert [flight.attempt.attempt for flight in run.flying] == [2]
    run.report(answer(first.attempt, "ok", first.started, run.now))
    run.turn()
    assert run.live is not None
    play(run)
    check_end(run)
    assert run.row.status is Status.COMPLETED


def test_a_run_can_end_after_an_outcome_that_came_twice() -> None:
    """S5, S13: what came late must not keep a compensating run from its end."""
    run = simulate(ONE)
    run.claim()
    flight = run.flying[0]
    run.now = flight.until
    run.land(0, word="timeout")
    run.news.append(answer(flight.attempt, "ok", flight.started, run.now))
    run.world.land(flight.attempt)
    run.turn()
    play(run)
    check_end(run)
    assert run.row.status is Status.COMPENSATED


def test_evidence_that_an_effect_landed_after_its_compensation_parks_the_run() -> None:
    """S5: nobody undoes twice; a person has to look."""
    run = simulate(CAUGHT)
    run.claim()
    flight = run.flying[0]
    run.now = flight.until
    run.land(0, word="timeout")
    run.turn()
    run.land(0)
    run.turn()
    run.now += 1
    run.report(answer(flight.attempt, "ok", flight.started, run.now))
    play(run)
    assert run.row.status is Status.PARKED
    assert "landed after it had been undone" in run.history.park_reason


def test_a_late_outcome_that_confirms_what_was_feared_changes_nothing() -> None:
    """S5: a frozen worker that wakes within the window tells what the compensation waits for anyway."""
    run = simulate({"kind": "sequence", "parts": [{"kind": "careful", "n": 1}]})
    run.claim()
    run.kill(frozen=True)
    run.claim()
    run.land_stray(0)
    play(run)
    check_end(run)
    assert run.row.status is Status.COMPENSATED
    assert [entry.kind for entry in run.journal if entry.kind in (Kind.LATE, Kind.UNDO)] == [
        Kind.LATE,
        Kind.UNDO,
    ]


def test_a_compensation_does_not_wait_for_an_attempt_that_was_heard_of() -> None:
    """S6: its call has ended, so its window doesn't matter any more."""
    run = simulate({"kind": "sequence", "parts": [{"kind": "careful", "n": 1}]})
    run.claim()
    began = run.now
    run.kill(frozen=True)
    run.claim()
    run.land_stray(0)
    run.claim()
    assert of(run, Kind.UNDO)[0].at == began
    play(run)
    check_end(run)
    assert run.row.status is Status.COMPENSATED


def test_a_compensation_waits_where_one_of_two_lost_attempts_was_heard_of() -> None:
    """S6: the other one may still land."""
    run = simulate(THRICE)
    run.claim()
    for _ in range(2):
        run.kill(frozen=True)
        run.claim()
    run.cancel()
    run.read_mail()
    run.land_stray(0)
    run.land(0)
    run.read_mail()
    run.turn()
    assert of(run, Kind.LATE)
    assert not of(run, Kind.UNDO)
    play(run)
    check_end(run)


def test_a_plain_effect_that_lands_after_the_end_is_listed() -> None:
    """S5, S13: late evidence corrects what an ended run says of the world, and the run ends again."""
    run = simulate(PLAIN, [["error", "error", "error"]])
    play(run, [0] * 20)
    assert run.row.status is Status.FAILED
    first_end = len(run.rows)
    step = run.history.steps[1]
    run.row = replace(run.row, status=Status.COMPENSATING, ended_at=None, due_at=run.now)
    meta = {
        "ref": 1,
        "attempt": 1,
        "undoing": False,
        "outcome": "landed",
        "started": run.now,
        "ended": run.now,
    }
    run.tell(Kind.LATE, "late:1:1:do:other", meta, b"1")
    play(run)
    assert run.row.status is Status.FAILED
    assert len(run.rows) > first_end
    assert run.history.steps[step.ref].landed


def test_an_attempt_that_is_not_on_record_is_ignored() -> None:
    """S5: an outcome of a step that the journal doesn't know can't harm the run."""
    run = simulate(ONE)
    run.claim()
    flight = run.flying[0]
    stranger = answer(flight.attempt, "ok", run.now, run.now)
    stranger.ref = 77
    run.news.append(stranger)
    run.turn()
    play(run)
    check_end(run)
    assert run.row.status is Status.COMPLETED


def test_a_late_outcome_whose_result_is_lost_is_no_result() -> None:
    """S26, S5: a step in doubt has landed, says who made the call; its error is what the body gets."""
    node: Node = {"kind": "try", "parts": [{"kind": "probed", "n": 1}, {"kind": "once", "n": 2}]}
    run = simulate(node, [["bad_result"]])
    run.claim()
    run.kill(frozen=True)
    run.claim()
    run.land_stray(0)
    play(run)
    check_end(run)
    assert run.row.status is Status.COMPLETED
    assert [entry.kind for entry in run.journal if entry.ref == 1][-2:] == [Kind.UNDO, Kind.UNDONE]
