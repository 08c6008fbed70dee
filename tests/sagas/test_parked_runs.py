"""Parked runs: what they say, what they forget (nothing), and how they go on."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest

from amends.persistence.records import Status
from amends.sagas import Saga, saga
from amends.sagas.journal import Kind
from amends.sagas.run import Limits
from tests.sagas.playing import FREEZE, KILL, play
from tests.sagas.programs import Node, once, plain, program, thrice
from tests.sagas.programs import run as interpret
from tests.sagas.rules import check_end, complaints, simulate
from tests.sagas.simulated import Simulation

TWO: Node = {"kind": "sequence", "parts": [{"kind": "once", "n": 1}, {"kind": "once", "n": 2}]}


@saga(name="program", version="other")
async def other_program(node: Node) -> Any:
    await thrice(99)
    return await interpret(node)


@saga(name="program", version="greedy")
async def greedy_program(node: Node) -> Any:
    return [await interpret(node), await once(50)]


def reason(run: Simulation) -> str:
    assert run.row.status is Status.PARKED, run.row.status
    return run.history.park_reason


def under(run: Simulation, changed: Saga[..., Any]) -> Simulation:
    """Let the run go on under other code."""
    run.saga = changed
    return run


def test_a_body_that_asks_for_something_else_parks_and_shows_both_sides() -> None:
    """Section 3: the journal says once(1), the body asks for thrice(99)."""
    run = simulate(TWO)
    run.claim()
    run.land(0)
    run.turn()
    run.kill()
    play(under(run, other_program))
    assert "non-determinism" in reason(run)
    assert 'program.once({"n":1})' in reason(run)
    assert 'program.thrice({"n":99})' in reason(run)


def test_a_parked_run_goes_on_under_the_code_that_it_was_made_with() -> None:
    """Section 3: nothing is lost while a run is parked for non-determinism."""
    run = simulate(TWO)
    run.claim()
    run.land(0)
    run.turn()
    run.kill()
    play(under(run, other_program))
    assert reason(run)
    run.row = dataclasses.replace(run.row, status=Status.OPEN, due_at=run.now)
    play(under(run, program))
    check_end(run)
    assert run.row.status is Status.COMPLETED


@pytest.mark.parametrize("lost", [KILL, FREEZE])
def test_what_was_under_way_when_a_worker_died_is_undone_although_the_run_was_parked_meanwhile(
    lost: int,
) -> None:
    """S2, S3: non-determinism found on recovery must not make an attempt in flight forgotten."""
    run = simulate(TWO)
    run.claim()
    run.land(0)
    run.turn()
    run.world.land(run.flying[0].attempt)
    run.kill(frozen=lost == FREEZE)
    play(under(run, other_program))
    assert reason(run)
    run.cancel()
    play(run)
    check_end(run)
    assert run.row.status is Status.COMPENSATED


def test_what_a_poison_run_had_under_way_is_undone_when_it_is_cancelled() -> None:
    """S26, S3: a run that killed its workers may have landed what it was at."""
    run = simulate(TWO)
    run.limits = Limits(max_lost=3)
    for _ in range(3):
        run.claim()
        run.world.land(run.flying[0].attempt)
        run.kill()
    run.claim()
    assert "poison" in reason(run)
    run.cancel()
    play(run)
    assert complaints(run) == []
    assert run.row.status is Status.COMPENSATED


def test_a_parked_run_whose_attempts_had_all_ended_owes_nothing_more_after_a_cancel() -> None:
    """S13: what isn't in doubt isn't undone twice, nor waited for."""
    run = simulate(TWO, [[], ["not_landed"]])
    run.claim()
    run.land(0)
    run.turn()
    run.cut()
    play(under(run, other_program), [])
    assert reason(run)
    run.cancel()
    play(run)
    check_end(run)
    assert run.row.status is Status.COMPENSATED


def test_a_body_that_goes_on_after_the_journal_says_it_ended_is_not_asked() -> None:
    """Section 3: after the end the body never runs again, whatever it would do."""
    run = play(simulate(TWO))
    before = list(run.rows)
    play(under(run, greedy_program))
    assert run.rows == before


def test_a_compensation_that_fails_for_good_parks_the_run_and_names_what_is_owed() -> None:
    """S12: exhausted, the run is parked; what came before waits, siblings go on."""
    node: Node = {"kind": "sequence", "parts": [
        {"kind": "once", "n": 1},
        {"kind": "gather", "parts": [{"kind": "once", "n": 2}, {"kind": "once", "n": 3}]},
        {"kind": "raise"},
    ]}  # fmt: skip
    run = play(simulate(node, [], [[], ["error"] * 3]))
    check_end(run)
    assert "'program.once' (2)" in reason(run)
    undone = {entry.ref for entry in run.journal if entry.kind is Kind.UNDONE}
    assert undone == {3}


def test_a_branch_beside_a_stuck_compensation_is_undone_to_its_beginning() -> None:
    """S12: unrelated siblings go on, also with what is due only after the other has failed for good."""
    branch: Node = {"kind": "sequence", "parts": [{"kind": "once", "n": 1}, {"kind": "once", "n": 2}]}
    node: Node = {"kind": "sequence", "parts": [
        {"kind": "gather", "parts": [branch, {"kind": "once", "n": 3}]},
        {"kind": "raise"},
    ]}  # fmt: skip
    run = play(simulate(node, [], [[], ["error"] * 2, ["error"] * 3]))
    check_end(run)
    told = [(entry.kind, entry.ref) for entry in run.journal if entry.kind in (Kind.UNDONE, Kind.UNDO_FAILED)]
    assert told == [(Kind.UNDO_FAILED, 2), (Kind.UNDONE, 3), (Kind.UNDONE, 1)]


def test_a_compensation_that_fails_beside_a_going_body_parks_the_run_at_its_end() -> None:
    """S12: the body goes on as far as it can; the run doesn't complete."""
    node: Node = {"kind": "sequence", "parts": [
        {"kind": "race", "patient": False, "parts": [{"kind": "once", "n": 1}, {"kind": "once", "n": 2}]},
        {"kind": "once", "n": 3},
    ]}  # fmt: skip
    run = play(simulate(node, [], [[], ["error"] * 3]), [1])
    check_end(run)
    assert [entry.ref for entry in run.journal if entry.kind is Kind.LANDED] == [1, 2, 3]
    assert "'program.once' (2)" in reason(run)


def waits_for_nothing() -> Saga[..., Any]:
    @saga(name="program", version="forever")
    async def forever(node: Node) -> None:
        await plain(1)
        await asyncio.Event().wait()

    return forever


def leaves_a_task_that_waits_for_nothing() -> Saga[..., Any]:
    @saga(name="program", version="leftover")
    async def leftover(node: Node) -> None:
        async def child() -> None:
            try:
                await plain(1)
            finally:
                await asyncio.Event().wait()

        kept = asyncio.create_task(child())
        await plain(2)
        del kept

    return leftover


def spins() -> Saga[..., Any]:
    @saga(name="program", version="spins")
    async def spinning(node: Node) -> None:
        while True:  # noqa: ASYNC110 - on purpose
            await asyncio.sleep(0)

    return spinning


def spins_on_timers() -> Saga[..., Any]:
    @saga(name="program", version="ticks")
    async def ticking(node: Node) -> None:
        while True:  # noqa: ASYNC110 - on purpose
            await asyncio.sleep(1e-9)

    return ticking


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (waits_for_nothing, "can never come"),
        (leaves_a_task_that_waits_for_nothing, "can never come"),
        (spins, "endless loop"),
        (spins_on_timers, "endless loop"),
    ],
)
def test_a_body_that_can_never_go_on_parks(make: Any, told: str) -> None:
    """L1, L2: a run that waits for nothing, or never waits, is parked and says so."""
    run = under(simulate(TWO), make())
    play(run)
    assert told in reason(run)


def test_a_result_that_no_longer_fits_the_code_parks_the_run() -> None:
    """S26: a record that can't be decoded is kept, and harms its run only."""
    run = simulate(
        {"kind": "sequence", "parts": [{"kind": "once", "n": 1}, {"kind": "sleep", "seconds": 50}]}
    )
    run.claim()
    run.land(0)
    run.turn()
    damaged = [
        dataclasses.replace(row, payload=b'"no number"') if row.kind == "landed" else row for row in run.rows
    ]
    run.rows[:] = damaged
    play(run)
    assert "input should be a valid integer" in reason(run)
    run.cancel()
    play(run)
    assert run.row.status is Status.COMPENSATED


def test_reads_that_were_lost_with_their_worker_are_read_again_and_cost_no_entry() -> None:
    """Section 3, reads ride along: nothing was done on the strength of what was read."""
    run = simulate({"kind": "sequence", "parts": [{"kind": "read", "n": 1}, {"kind": "once", "n": 2}]})
    run.claim()
    assert run.rows == []
    run.land(0)
    run.kill()
    play(run)
    check_end(run)
    assert run.world.reads[1] == 2
    kinds = [entry.kind for entry in run.journal]
    assert kinds == [Kind.LANDED, Kind.INTENT, Kind.LANDED, Kind.ENDED]
