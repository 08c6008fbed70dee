"""Around the decision: what is in doubt, given up or asked for when a run, or a part of it, turns round."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

import pytest

from amends.sagas import (
    ActionRefused,
    Coordinator,
    NoEffect,
    NotLanded,
    Retry,
    Status,
    Undo,
    saga,
    savepoint,
    sleep,
    step,
)
from amends.sagas.journal import Kind
from tests.sagas.running import AT_ONCE, ONCE, Gate, ended, kinds, on_a_loop, parked, recorded

DONE: list[str] = []
GATE: list[Gate] = []
SLOWLY = Retry(attempts=3, wait=dt.timedelta(hours=1))


@pytest.fixture(autouse=True)
def _anew() -> None:
    DONE.clear()
    GATE[:] = [Gate()]


@step(name="turning.book", retry=ONCE)
async def book(what: str) -> str:
    if what == "refused":
        raise NoEffect(what)
    DONE.append(what)
    return what


@book.compensation(name="turning.unbook", retry=ONCE)
async def unbook(undo: Undo[str], what: str) -> None:
    DONE.append(f"-{what}")
    if what == "stuck":
        raise OSError(what)


async def absent(*_arguments: Any) -> NotLanded:
    await GATE[0].wait()
    return NotLanded("nothing there")


@step(name="turning.sign", effect="pivot", retry=SLOWLY)
async def sign() -> None:
    DONE.append("sign")
    raise OSError("no answer")


@step(name="turning.sign_and_look", effect="pivot", retry=AT_ONCE, on_unknown=absent)
async def sign_and_look() -> None:
    DONE.append("sign")
    raise OSError("no answer")


@step(name="turning.letter", retry=AT_ONCE, on_unknown=absent)
async def letter() -> None:
    DONE.append("letter")
    raise OSError("no answer")


@step(name="turning.wire", retry=AT_ONCE, on_unknown="park")
async def wire() -> None:
    DONE.append("wire")
    raise OSError("no answer")


@on_a_loop
async def test_a_pivot_given_up_between_two_attempts_is_resolved_first(database_url: str) -> None:
    """S14: it may have landed; the body's time-out doesn't make it a failure."""

    @saga(name="turning.gives_up")
    async def gives_up() -> None:
        await book("a")
        async with asyncio.timeout(0.3):
            await sign()

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(gives_up)
        assert "'turning.sign' (2)" in str(await parked(run))
        assert DONE == ["a", "sign"]
        await coordinator.operator("ann").resolve(run.id, 2, landed=False, evidence="no contract")
        assert await ended(run) is Status.COMPENSATED
    assert DONE == ["a", "sign", "-a"]


@on_a_loop
async def test_an_absent_effect_is_not_tried_again_in_a_run_that_turned_round(database_url: str) -> None:
    """S4: the probe's answer comes after the decision."""

    @saga(name="turning.writes")
    async def writes() -> None:
        await book("a")
        await letter()

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(writes)
        await GATE[0].reached.wait()
        await run.cancel()
        await recorded(run, Kind.SWITCH)
        GATE[0].opened.set()
        assert await ended(run) is Status.COMPENSATED
        assert (await kinds(run)).count(Kind.RETRY) == 0
    assert DONE == ["a", "letter", "-a"]


@on_a_loop
async def test_an_absent_pivot_that_was_given_up_is_not_sent_again(sqlite_url: str) -> None:
    """S14, S27: it hasn't landed, nobody waits for it, and the run is undone."""

    @saga(name="turning.gives_up_looking")
    async def gives_up() -> None:
        await book("a")
        async with asyncio.timeout(0.3):
            await sign_and_look()

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(gives_up)
        await GATE[0].reached.wait()
        await recorded(run, Kind.ABANDONED)
        GATE[0].opened.set()
        assert await ended(run) is Status.COMPENSATED
    assert DONE == ["a", "sign", "-a"]


@on_a_loop
async def test_a_cancel_that_waited_for_a_pivot_wins_when_it_has_not_landed(database_url: str) -> None:
    """S14: before the body hears of it, and goes another way."""

    @step(name="turning.pay", effect="pivot", retry=ONCE)
    async def pay(by: str) -> str:
        if by == "card":
            await GATE[0].wait()
            raise NoEffect(by)
        DONE.append(by)
        return by

    @saga(name="turning.pays")
    async def pays() -> str:
        await book("a")
        try:
            return await pay("card")
        except Exception:  # noqa: BLE001 - whatever it is, it goes another way
            return await pay("invoice")

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(pays)
        await GATE[0].reached.wait()
        await run.cancel()
        await recorded(run, Kind.CANCEL)
        GATE[0].opened.set()
        assert await ended(run) is Status.COMPENSATED
    assert DONE == ["a", "-a"]


@on_a_loop
async def test_a_step_in_doubt_is_not_tried_again_by_hand_in_a_run_that_turned_round(sqlite_url: str) -> None:
    """S4, S25: only what became of it can still be said."""

    @saga(name="turning.wires")
    async def wires() -> None:
        await book("a")
        await wire()

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(wires)
        await parked(run)
        await run.cancel()
        await coordinator.run_until_idle()
        await parked(run)
        operator = coordinator.operator("ann")
        with pytest.raises(ActionRefused, match="was given up"):
            await operator.retry(run.id, 2)
        await operator.resolve(run.id, 2, landed=True, evidence="statement no. 3")
        assert await ended(run) is Status.PARTIALLY_COMPENSATED
    assert DONE == ["a", "wire", "-a"]


@on_a_loop
async def test_a_doubt_that_comes_after_the_cancel_is_not_forgotten(database_url: str) -> None:
    """S13: the same as one that came before it."""

    @step(name="turning.wire_slowly", retry=ONCE, on_unknown="park")
    async def wire_slowly() -> None:
        await GATE[0].wait()
        raise OSError("no answer")

    @saga(name="turning.wires_slowly")
    async def wires_slowly() -> None:
        await wire_slowly()

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(wires_slowly)
        await GATE[0].reached.wait()
        await run.cancel()
        await recorded(run, Kind.SWITCH)
        GATE[0].opened.set()
        assert "'turning.wire_slowly' (1)" in str(await parked(run))


@on_a_loop
async def test_a_savepoint_with_steps_under_way_is_undone_when_an_error_leaves_it(database_url: str) -> None:
    """S6, S20: what is under way is let end, and undone with the rest."""

    @saga(name="turning.gathers")
    async def gathers() -> str:
        async def slow() -> str:
            await sleep(0)
            return await book("slow")

        try:
            async with savepoint():
                await book("first")
                await asyncio.gather(book("second"), book("refused"), slow())
        except Exception:  # noqa: BLE001 - as above
            return "fallback"
        return ""

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(gathers)
        assert await run.result(30) == "fallback"
        assert (await kinds(run)).count(Kind.ROLLBACK) == 1
    left = [what for what in DONE if not what.startswith("-") and f"-{what}" not in DONE]
    assert left == []


@on_a_loop
async def test_a_body_that_only_leaves_savepoints_is_an_endless_one(sqlite_url: str) -> None:
    """L3: it parks like any endless turn, and the others go on."""

    @saga(name="turning.turns")
    async def turns() -> None:
        while True:
            try:
                async with savepoint():
                    raise ValueError
            except ValueError:
                pass

    async with Coordinator(sqlite_url) as coordinator:
        assert "EndlessTurn" in str(await parked(await coordinator.start(turns)))


@on_a_loop
async def test_a_stuck_compensation_is_parked_although_a_deadline_is_still_to_come(sqlite_url: str) -> None:
    """S12: the deadline would undo what a person could still have saved."""

    @saga(name="turning.hurries", deadline=dt.timedelta(hours=6))
    async def hurries() -> str:
        try:
            async with savepoint():
                await book("stuck")
                await book("refused")
        except Exception:  # noqa: BLE001 - as above
            return "fallback"
        return ""

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(hurries)
        assert "failed for good" in str(await parked(run))
        await coordinator.operator("ann").waive(run.id, 2, reason="kept")
        assert await run.result(30) == "fallback"


def make_due(coordinator: Coordinator, url: str) -> None:
    """Let the runs that sleep be claimed at once."""
    here, there = "UPDATE amends_runs SET due_at = 0", "UPDATE amends.runs SET due_at = 0"
    statement = here if url.startswith("sqlite") else there
    with coordinator.engine.begin() as connection:
        connection.exec_driver_sql(statement)


@on_a_loop
async def test_a_run_that_its_code_can_not_replay_ends_when_it_is_aborted(database_url: str) -> None:
    """Section 3, S13: compensating reads the journal, so nothing is left to park for."""

    def define(word: str) -> Any:
        @saga(name="turning.changed")
        async def changed() -> None:
            await book(word)
            await sleep(3_600)

        return changed

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(define("a"))
        await recorded(run, Kind.LANDED)
    define("b")
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.get(run.id)
        make_due(coordinator, database_url)
        await coordinator.run_until_idle()
        assert "non-determinism" in str(await parked(run))
        await coordinator.operator("ann").abort(run.id)
        assert await ended(run) is Status.COMPENSATED
    assert DONE == ["a", "-a"]


@saga(name="turning.unrelated")
async def unrelated() -> None: ...


@on_a_loop
async def test_a_worker_without_the_saga_leaves_runs_parked_for_their_code_alone(database_url: str) -> None:
    """L1, S25: whoever can't claim the run doesn't wake it, and a cancel finds it whatever it needs."""

    def define(word: str) -> Any:
        @saga(name="turning.needs")
        async def needs() -> None:
            await book(word)
            await sleep(3_600)

        return needs

    first = define("a")
    async with Coordinator(database_url, sagas=[first]) as coordinator:
        run = await coordinator.start(first)
        await recorded(run, Kind.LANDED)
    second = [define("b")]
    async with Coordinator(database_url, sagas=second) as coordinator:
        make_due(coordinator, database_url)
        await coordinator.run_until_idle()
        await parked(await coordinator.get(run.id))
    async with Coordinator(database_url, sagas=[unrelated]) as coordinator:
        assert await (await coordinator.get(run.id)).status() is Status.PARKED
    async with Coordinator(database_url, sagas=second) as coordinator:
        run = await coordinator.get(run.id)
        await run.cancel()
        assert await ended(run) is Status.COMPENSATED
    assert DONE == ["a", "-a"]
