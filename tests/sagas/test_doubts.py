"""What is done about an attempt of which nobody knows whether it landed: parked, or probed."""

from __future__ import annotations

import asyncio
import datetime as dt
import threading
from typing import Any

import pytest

from amends.sagas import (
    Coordinator,
    DefinitionError,
    Landed,
    NoEffect,
    NotLanded,
    Retry,
    Status,
    Undo,
    current_step,
    saga,
    step,
)
from amends.sagas.journal import Kind
from tests.sagas.running import AT_ONCE, Clock, ended, failure, kinds, on_a_loop, parked


@on_a_loop
async def test_a_step_that_asks_for_a_person_is_not_tried_again(database_url: str) -> None:
    """S2, on_unknown="park": where the participant knows no keys, a second attempt may be a second effect."""
    calls = []

    @step(name="doubts.wire", retry=AT_ONCE, on_unknown="park")
    async def wire(amount: int) -> None:
        calls.append(amount)
        raise OSError("cut off")

    @saga(name="doubts.parks")
    async def body() -> None:
        await wire(5)

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(body)
        assert "nobody knows whether 'doubts.wire' (1) landed" in str(await parked(run))
    assert calls == [5]


@on_a_loop
async def test_a_compensatable_step_in_doubt_is_compensated_by_a_cancel(database_url: str) -> None:
    """S3: its compensation copes with what nobody knows, so nobody has to be asked."""
    undone = []

    @step(name="doubts.book", on_unknown="park")
    async def book() -> None:
        raise OSError("cut off")

    @book.compensation(name="doubts.unbook")
    async def unbook(undo: Undo[None]) -> None:
        undone.append(undo.outcome)

    @saga(name="doubts.cancelled")
    async def body() -> None:
        await book()

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(body)
        await parked(run)
        await run.cancel()
        await coordinator.run_until_idle()
        assert await ended(run) is Status.COMPENSATED
    assert undone == ["unknown"]


@on_a_loop
async def test_a_plain_step_in_doubt_keeps_a_cancelled_run_from_its_end(sqlite_url: str) -> None:
    """S13: ended means that nothing is unknown."""

    @step(name="doubts.letter", on_unknown="park")
    async def letter() -> None:
        raise OSError("cut off")

    @saga(name="doubts.letters")
    async def body() -> None:
        await letter()

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(body)
        await parked(run)
        await run.cancel()
        await coordinator.run_until_idle()
        assert "'doubts.letter' (1)" in str(await parked(run))


@on_a_loop
async def test_a_probe_gets_the_steps_arguments_and_key(database_url: str) -> None:
    """on_unknown=probe: whatever it finds is what the body gets."""
    keys = []

    async def find(name: str) -> Landed[str]:
        keys.append((name, current_step().idempotency_key))
        return Landed(f"found {name}")

    @step(name="doubts.make", on_unknown=find)
    async def make(name: str) -> str:
        keys.append((name, current_step().idempotency_key))
        raise OSError("cut off")

    @saga(name="doubts.finds")
    async def body() -> str:
        return await make("a")

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(body)
        assert await run.result() == "found a"
        assert await kinds(run) == [Kind.INTENT, Kind.DOUBT, Kind.LANDED, Kind.ENDED]
    assert keys[0] == keys[1]


@on_a_loop
async def test_an_absent_effect_is_tried_again_within_the_policy(sqlite_url: str) -> None:
    """S2: a probe that says absent is evidence; when the attempts are used up the step hasn't landed."""
    calls: list[str] = []

    def find() -> NotLanded:
        calls.append("probe")
        return NotLanded("no such order")

    @step(name="doubts.absent", retry=Retry(attempts=2, wait=dt.timedelta(0)), on_unknown=find)
    async def absent() -> None:
        calls.append("try")
        raise OSError("cut off")

    @absent.compensation(name="doubts.present")
    async def present(undo: Undo[None]) -> None:
        calls.append("undo")

    @saga(name="doubts.absents")
    async def body() -> None:
        await absent()

    async with Coordinator(sqlite_url) as coordinator:
        failed = await failure(await coordinator.start(body))
    assert failed.status == Status.FAILED
    assert "cut off" in str(failed.error)
    assert calls == ["try", "probe", "try", "probe"]


@pytest.mark.parametrize("problem", [NoEffect("refused"), OSError("away"), None])
@on_a_loop
async def test_a_probe_that_stays_away_is_asked_again_and_then_a_person(
    sqlite_url: str, problem: Any
) -> None:
    """S2: what goes wrong with the probe, or an answer that is none, is no evidence."""
    asked, clock = [], Clock()

    async def find() -> Landed[None]:
        asked.append(1)
        if problem is not None:
            raise problem
        return None  # type: ignore[return-value]  # that it is no answer is the point

    @step(name="doubts.lost", on_unknown=find)
    async def lost() -> None:
        raise OSError("cut off")

    @saga(name="doubts.losts")
    async def body() -> None:
        await lost()

    async with Coordinator(sqlite_url, clock=clock) as coordinator:
        run = await coordinator.start(body)
        while await coordinator.run_until_idle() is not None:
            clock.move(dt.timedelta(seconds=31))
        assert "'doubts.lost' (1)" in str(await parked(run))
    assert len(asked) == 10


def test_options_that_make_no_sense_are_refused() -> None:
    with pytest.raises(DefinitionError, match="needs the probe"):
        step(name="doubts.no", on_unknown="probe")
    with pytest.raises(DefinitionError, match="heartbeat"):
        step(name="doubts.no", heartbeat=dt.timedelta(0))

    async def find(one: int) -> NotLanded:
        return NotLanded(str(one))

    with pytest.raises(DefinitionError, match="it gets those of the step"):

        @step(name="doubts.no", on_unknown=find)
        async def no(one: int, two: int) -> None: ...


@pytest.mark.parametrize("sync", [False, True])
@on_a_loop
async def test_a_silent_attempt_is_unknown_and_the_next_one_knows_how_far_it_came(
    database_url: str,
    sync: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Section 2: `heartbeat(details)` reaches the next attempt; silence counts as unknown."""
    seen: list[Any] = []
    stuck = threading.Event()

    @step(name="doubts.copies", retry=AT_ONCE, heartbeat=dt.timedelta(milliseconds=150))
    async def copies() -> int:
        here = current_step()
        seen.append(here.details)
        if here.details is not None:
            return int(here.details["page"])
        here.heartbeat({"page": 1})
        here.heartbeat({"page": 2})
        await asyncio.Event().wait()
        return 0

    @step(name="doubts.copies_in_thread", retry=AT_ONCE, heartbeat=dt.timedelta(milliseconds=150))
    def copies_in_thread() -> int:
        here = current_step()
        seen.append(here.details)
        if here.details is not None:
            return int(here.details["page"])
        here.heartbeat({"page": 1})
        here.heartbeat({"page": 2})
        stuck.wait(10)
        return 0

    @saga(name="doubts.copying")
    async def body(*, threaded: bool = sync) -> int:
        return await (copies_in_thread() if threaded else copies())

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(body)
        try:
            assert await run.result(30) == 2
            entries = await run.journal()
            [retry] = [entry for entry in entries if entry.kind is Kind.RETRY]
            assert b"no sign of life" in (retry.payload or b"")
            assert retry.meta["outcome"] == "unknown"
        finally:
            stuck.set()
    assert seen == [None, {"page": 2}]


@on_a_loop
async def test_heartbeats_keep_an_attempt_alive_and_cost_one_entry_a_second(sqlite_url: str) -> None:
    """Many beats are one record: the newest replaces the others."""

    @step(name="doubts.beats", heartbeat=dt.timedelta(milliseconds=300))
    async def beats() -> None:
        for number in range(100):
            current_step().heartbeat(number)
            await asyncio.sleep(0.005)

    @saga(name="doubts.beating")
    async def body() -> None:
        await beats()

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(body)
        await run.result(30)
        assert 1 <= (await kinds(run)).count(Kind.BEAT) <= 4


@on_a_loop
async def test_details_told_just_before_an_error_reach_the_next_attempt(sqlite_url: str) -> None:
    """Section 2: also of an async step that never waits in between."""
    seen: list[Any] = []

    @step(name="doubts.beats_and_fails", retry=AT_ONCE)
    async def beats_and_fails() -> None:
        here = current_step()
        seen.append(here.details)
        for number in range(3):
            here.heartbeat([here.attempt, number])
        if here.attempt < 3:
            raise OSError("cut off")

    @saga(name="doubts.beating_and_failing")
    async def body() -> None:
        await beats_and_fails()

    async with Coordinator(sqlite_url) as coordinator:
        await (await coordinator.start(body)).result(30)
    assert seen == [None, [1, 2], [2, 2]]


@on_a_loop
async def test_details_without_json_are_refused(sqlite_url: str) -> None:
    """A heartbeat's details have a JSON form, or the step is told at once."""

    @step(name="doubts.beats_badly", retry=Retry(attempts=1))
    async def beats_badly() -> None:
        current_step().heartbeat(object())

    @saga(name="doubts.beating_badly")
    async def body() -> None:
        await beats_badly()

    async with Coordinator(sqlite_url) as coordinator:
        assert "no JSON form" in str((await failure(await coordinator.start(body))).error)
