"""Signals: sent by anybody, received by a body, each once and in order (sections 2 and 3)."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable
from typing import Annotated, Any, cast

import pytest
from pydantic import BaseModel, Field

from amends.sagas import (
    Coordinator,
    DefinitionError,
    InputInvalid,
    OutsideRun,
    PayloadTooLarge,
    RunEnded,
    RunNotFound,
    StartConflict,
    Status,
    continue_as_new,
    receive,
    replaying,
    saga,
    savepoint,
    sleep,
    step,
)
from amends.sagas.journal import Kind
from tests.sagas.running import Clock, ended, failure, kinds, on_a_loop
from tests.sagas.test_counts import counted

HOUR = dt.timedelta(hours=1)
GOT: list[Any] = []


@pytest.fixture(autouse=True)
def _anew() -> None:
    GOT.clear()


class Payment(BaseModel):
    amount: int
    currency: str = "EUR"


@step(name="signals.note", effect="read")
async def note(what: str) -> str:
    return what


@step(name="signals.does")
async def does(what: str) -> str:
    GOT.append(what)
    return what


@does.compensation(name="signals.undoes")
async def undoes(undo: Any, what: str) -> None:
    GOT.append(f"-{what}")


@saga(name="signals.one")
async def one(name: str = "paid") -> int:
    return (await receive(Payment, name="paid")).amount


@saga(name="signals.many")
async def many(count: int) -> list[int]:
    got: list[int] = []
    async for number in receive(int, name="number"):
        got.append(int(await does(str(number))))
        if len(got) == count:
            break
    return got


@on_a_loop
async def test_a_run_that_waits_gets_what_is_sent(database_url: str) -> None:
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(one, id="one")
        await coordinator.signal("one", "paid", Payment(amount=7))
        assert await run.result(30) == 7
        assert [(e.name, e.payload) for e in await run.journal() if e.kind is Kind.SIGNAL] == [
            ("paid", b'{"amount":7,"currency":"EUR"}')
        ]


@on_a_loop
async def test_a_run_that_waits_holds_no_memory(database_url: str) -> None:
    """A run that waits costs a row: it leaves memory with its first turn (section 3, Dormancy)."""
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(one, id="one")
        await coordinator.run_until_idle()
        assert await run.status() is Status.WAITING
        assert coordinator._open_parts().driver.holding == 0  # noqa: SLF001 - nothing public tells
        await coordinator.signal("one", "paid", Payment(amount=7))
        assert await run.result(30) == 7


@on_a_loop
async def test_a_signal_may_come_before_the_run_waits_for_it(database_url: str) -> None:
    @saga(name="signals.late_asker")
    async def late_asker() -> list[int]:
        await sleep(HOUR)
        return [await receive(int, name="number"), await receive(int, name="number")]

    clock = Clock()
    async with Coordinator(database_url, clock=clock) as coordinator:
        run = await coordinator.start(late_asker, id="late")
        await coordinator.signal("late", "number", 1)
        await coordinator.signal("late", "number", 2)
        await coordinator.run_until_idle()
        clock.move(HOUR)
        await coordinator.run_until_idle()
        assert await run.result(30) == [1, 2]


@on_a_loop
async def test_a_process_that_does_no_work_can_send(database_url: str) -> None:
    async with Coordinator(database_url, work=False) as stranger:
        run = await stranger.start(one, id="one")
        await stranger.signal("one", "paid", Payment(amount=7))
        assert await run.status() is Status.READY
    async with Coordinator(database_url) as coordinator:
        assert await (await coordinator.get("one")).result(30) == 7


@on_a_loop
async def test_a_worker_is_woken_by_a_strangers_signal(database_url: str) -> None:
    async with Coordinator(database_url) as coordinator, Coordinator(database_url, work=False) as stranger:
        run = await coordinator.start(one, id="one")
        await coordinator.run_until_idle()
        await stranger.signal("one", "paid", {"amount": 9})
        assert await run.result(30) == 9


@on_a_loop
async def test_signals_of_one_name_come_in_the_order_of_sending(database_url: str) -> None:
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(many, 50, id="many")
        for number in range(50):
            await coordinator.signal("many", "number", number)
        assert await run.result(30) == list(range(50))


@on_a_loop
async def test_the_same_message_is_received_once(database_url: str) -> None:
    """S17, of messages: their ids make them one."""
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(many, 2, id="many")
        for _ in range(10):
            await coordinator.signal("many", "number", 1, message_id="evt-1")
        await coordinator.signal("many", "number", 2, message_id="evt-2")
        assert await run.result(30) == [1, 2]
        await coordinator.signal("many", "number", 2, message_id="evt-2")
        assert (await kinds(run)).count(Kind.SIGNAL) == 2


@on_a_loop
async def test_leaving_the_loop_over_signals_loses_none(database_url: str) -> None:
    @saga(name="signals.twice")
    async def twice() -> list[int]:
        got: list[int] = []
        async for number in receive(int, name="number"):
            got.append(number)
            if number == 2:
                break
        await does("between")
        async for number in receive(int, name="number"):
            got.append(number)
            if number == 4:
                break
        return got

    async with Coordinator(database_url) as coordinator:
        for number in (1, 2, 3, 4):
            await coordinator.signal_or_start(twice, id="twice", name="number", payload=number)
        assert await (await coordinator.get("twice")).result(30) == [1, 2, 3, 4]


@saga(name="signals.patient")
async def patient() -> str:
    try:
        first = await receive(str, name="word", timeout=HOUR)
    except TimeoutError:
        await does("reminded")
        first = await receive(str, name="word")
    return first


@on_a_loop
async def test_a_signal_that_comes_too_late_stays_for_the_next_receive(database_url: str) -> None:
    clock = Clock()
    async with Coordinator(database_url, clock=clock) as coordinator:
        run = await coordinator.start(patient, id="patient")
        await coordinator.run_until_idle()
        clock.move(HOUR)
        # Both are news of the same turn: the message was read with it.
        await coordinator.signal("patient", "word", "hello")
        await coordinator.run_until_idle()
        assert await run.result(30) == "hello"
        assert (await kinds(run)).count(Kind.SIGNAL) == 1


@on_a_loop
async def test_a_signal_in_time_leaves_no_timer_behind(database_url: str) -> None:
    clock = Clock()

    @saga(name="signals.then_waits")
    async def then_waits() -> str:
        word = await receive(str, name="word", timeout=HOUR)
        return word + await receive(str, name="word")

    async with Coordinator(database_url, clock=clock) as coordinator:
        run = await coordinator.start(then_waits, id="waits")
        await coordinator.signal("waits", "word", "a")
        assert await coordinator.run_until_idle() is None
        clock.move(2 * HOUR)
        await coordinator.signal("waits", "word", "b")
        await coordinator.run_until_idle()
        assert await run.result(30) == "ab"
        assert Kind.FIRED not in await kinds(run)


@on_a_loop
async def test_a_receiver_that_loses_a_race_gives_its_signal_back(database_url: str) -> None:
    """The task that waits is cancelled in the very moment in which it has been given a signal."""

    @saga(name="signals.racer")
    async def racer() -> list[str]:
        got: list[str] = []

        async def taker() -> None:
            got.append(await receive(str, name="word"))

        async def trip() -> None:
            await receive(str, name="trip")
            task.cancel()

        task = asyncio.create_task(taker())
        tripping = asyncio.create_task(trip())
        await sleep(HOUR)
        await asyncio.wait([task, tripping])
        got.append(await receive(str, name="word"))
        return got

    clock = Clock()
    async with Coordinator(database_url, clock=clock) as coordinator:
        run = await coordinator.start(racer, id="racer")
        await coordinator.signal("racer", "trip", "now")
        await coordinator.signal("racer", "word", "kept")
        await coordinator.run_until_idle()
        clock.move(HOUR)
        await coordinator.run_until_idle()
        assert await run.result(30) == ["kept"]


@on_a_loop
async def test_two_receivers_of_one_name_get_one_each(database_url: str) -> None:
    @saga(name="signals.pair")
    async def pair() -> list[int]:
        return list(await asyncio.gather(receive(int), receive(int)))

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(pair, id="pair")
        await coordinator.signal("pair", "int", 1)
        await coordinator.signal("pair", "int", 2)
        assert await run.result(30) == [1, 2]


@on_a_loop
async def test_what_does_not_fit_is_refused_at_the_sender(sqlite_url: str) -> None:
    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(one, id="one")
        with pytest.raises(InputInvalid, match=r"'paid'.*Payment.*amount"):
            await coordinator.signal("one", "paid", {"amount": "much"})
        with pytest.raises(InputInvalid, match="no JSON form"):
            await coordinator.signal("one", "other", object())
        with pytest.raises(InputInvalid, match="signal's name"):
            await coordinator.signal("one", "", 1)
        with pytest.raises(InputInvalid, match="message's id"):
            await coordinator.signal("one", "paid", {"amount": 1}, message_id="a\nb")
        assert Kind.SIGNAL not in await kinds(run)


@on_a_loop
async def test_a_payload_over_the_limit_is_refused(sqlite_url: str) -> None:
    async with Coordinator(sqlite_url, max_payload=1_000) as coordinator:
        await coordinator.start(one, id="one")
        with pytest.raises(PayloadTooLarge, match="'other': its payload"):
            await coordinator.signal("one", "other", "x" * 1_000)


@on_a_loop
async def test_a_signal_that_a_stranger_got_wrong_is_an_error_in_the_body(sqlite_url: str) -> None:
    """It is received, with an error; the run isn't harmed, and goes on with the next one."""

    @saga(name="signals.forgiving")
    async def forgiving(name: str) -> int:
        while True:
            try:
                return (await receive(Payment, name=name)).amount
            except InputInvalid as error:
                GOT.append(str(error))

    async with Coordinator(sqlite_url, work=False) as stranger:
        # The name is computed, so nobody knows yet what is received under it.
        await stranger.start(forgiving, "anything", id="forgiving")
        await stranger.signal("forgiving", "anything", {"amount": "much"})
        await stranger.signal("forgiving", "anything", {"amount": 3})
    async with Coordinator(sqlite_url) as coordinator:
        assert await (await coordinator.get("forgiving")).result(30) == 3
    assert "'anything'" in GOT[0]
    assert "amount" in GOT[0]


@on_a_loop
async def test_an_ended_run_and_an_unknown_one_are_told_apart(database_url: str) -> None:
    """S16: what comes after the end is refused, and the sender hears of it."""
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(one, id="one")
        await coordinator.signal("one", "paid", Payment(amount=7))
        await run.result(30)
        with pytest.raises(RunEnded, match="completed"):
            await coordinator.signal("one", "paid", Payment(amount=8))
        with pytest.raises(RunNotFound, match="'nobody'"):
            await coordinator.signal("nobody", "paid", Payment(amount=8))


@on_a_loop
async def test_a_waiting_run_can_be_cancelled(database_url: str) -> None:
    @saga(name="signals.booked")
    async def booked() -> str:
        await does("booked")
        return await receive(str, name="word")

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(booked, id="booked")
        await coordinator.run_until_idle()
        await run.cancel()
        assert await ended(run) is Status.COMPENSATED
    assert GOT == ["booked", "-booked"]


@on_a_loop
async def test_signals_are_replayed_and_not_received_again(database_url: str) -> None:
    """A body that is loaded again gets the same signals at the same places."""

    @saga(name="signals.replayed")
    async def replayed() -> list[str]:
        got = [await receive(str, name="a")]
        GOT.append(("a", replaying()))
        got.append(await receive(str, name="b"))
        await does("step")
        got.append(await receive(str, name="a"))
        return got

    for name, word in (("a", "1"), ("a", "3"), ("b", "2")):
        async with Coordinator(database_url) as coordinator:
            await coordinator.signal_or_start(replayed, id="replayed", name=name, payload=word)
            await coordinator.run_until_idle()
    async with Coordinator(database_url) as coordinator:
        assert await (await coordinator.get("replayed")).result(30) == ["1", "2", "3"]
    assert GOT.count("step") == 1
    assert ("a", True) in GOT


@on_a_loop
async def test_a_new_beginning_keeps_what_was_not_received(database_url: str) -> None:
    """L1: the inbox carries over (section 2, continue_as_new)."""

    @saga(name="signals.pages")
    async def pages(total: int, rounds: int) -> int:
        total += await receive(int, name="number")
        if rounds:
            await continue_as_new(total, rounds - 1)
        await sleep(HOUR)
        return total + await receive(int, name="rest")

    clock = Clock()
    async with Coordinator(database_url, clock=clock) as coordinator:
        run = await coordinator.start(pages, 0, 2, id="pages")
        for number in (1, 10, 100):
            await coordinator.signal("pages", "number", number)
        await coordinator.signal("pages", "rest", 1_000)
        await coordinator.run_until_idle()
    async with Coordinator(database_url, clock=clock) as coordinator:
        clock.move(HOUR)
        await coordinator.run_until_idle()
        run = await coordinator.get("pages")
        assert await run.result(30) == 1_111


@on_a_loop
async def test_signal_or_start_starts_once(database_url: str) -> None:
    async with Coordinator(database_url) as first, Coordinator(database_url) as second:
        await asyncio.gather(
            *(
                (first, second)[number % 2].signal_or_start(
                    many,
                    20,
                    id="device-7",
                    name="number",
                    payload=number % 20,
                    message_id=f"event-{number % 20}",
                )
                for number in range(40)
            )
        )
        run = await first.get("device-7")
        assert sorted(await run.result(30)) == list(range(20))
    assert len(GOT) == 20


@on_a_loop
async def test_signal_or_start_keeps_to_its_saga(sqlite_url: str) -> None:
    async with Coordinator(sqlite_url) as coordinator:
        await coordinator.start(one, id="one")
        with pytest.raises(StartConflict, match=r"signals\.one"):
            await coordinator.signal_or_start(many, 1, id="one", name="number", payload=1)


@on_a_loop
async def test_a_signal_costs_one_commit_and_its_turn_one(sqlite_url: str) -> None:
    """One for the message, one for the turn that takes it; the claim between them writes no journal."""
    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(one, id="one")
        await coordinator.run_until_idle()
        await coordinator.signal("one", "other", 1)
        await coordinator.run_until_idle()
        with counted() as count:
            await coordinator.signal("one", "paid", {"amount": 7})
            assert await run.result(30) == 7
        assert count.writing == 2
        assert count.loads == 1


def test_a_signal_without_a_name_is_refused() -> None:
    with pytest.raises(DefinitionError, match="needs name="):
        receive(cast("type[Any]", int | str))
    with pytest.raises(DefinitionError, match="signal's name"):
        receive(int, name="")


@on_a_loop
async def test_receive_belongs_into_a_body() -> None:
    with pytest.raises(OutsideRun, match="receive"):
        await receive(int)


@on_a_loop
async def test_types_are_found_in_the_source_of_a_body(sqlite_url: str) -> None:
    """Before any body has run here: unions, containers, and what is annotated."""

    @saga(name="signals.typed")
    async def typed() -> None:
        await receive(list[int], name="numbers")
        await receive(cast("type[Any]", int | None), name="maybe")
        await receive(Payment)

    encode = typed.signals.encode
    assert encode("numbers", (1, 2)) == b"[1,2]"
    with pytest.raises(InputInvalid, match="numbers"):
        encode("numbers", ["a"])
    with pytest.raises(InputInvalid, match="Payment"):
        encode("Payment", 3)
    assert encode("maybe", "anything: what is received isn't certain") == (
        b'"anything: what is received isn\'t certain"'
    )


@on_a_loop
async def test_constraints_are_checked_once_a_body_has_asked(sqlite_url: str) -> None:
    Positive = Annotated[int, Field(gt=0)]  # noqa: N806 - a type

    @saga(name="signals.positive")
    async def positive() -> int:
        return cast("int", await receive(cast("Any", Positive), name="number"))

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(positive, id="positive")
        await coordinator.run_until_idle()
        with pytest.raises(InputInvalid, match="greater than 0"):
            await coordinator.signal("positive", "number", -1)
        await coordinator.signal("positive", "number", 1)
        assert await run.result(30) == 1


@on_a_loop
async def test_a_body_that_is_closed_receives_nothing(sqlite_url: str) -> None:
    """Eviction is invisible: what a `finally` block asks for comes to nothing (section 3)."""

    @saga(name="signals.closing")
    async def closing() -> str:
        try:
            return await receive(str, name="word")
        finally:
            GOT.append("finally")
            if not GOT.count("stop"):
                await cast("Awaitable[str]", receive(str, name="other"))

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(closing, id="closing")
        await coordinator.run_until_idle()
        await coordinator.signal("closing", "other", "o")
        await coordinator.signal("closing", "word", "w")
        assert await run.result(30) == "w"
        assert (await kinds(run)).count(Kind.SIGNAL) == 2


@on_a_loop
async def test_a_savepoint_left_while_waiting_undoes_its_steps(sqlite_url: str) -> None:
    @saga(name="signals.in_savepoint")
    async def in_savepoint() -> str:
        try:
            async with savepoint():
                await does("inside")
                await receive(str, name="word", timeout=HOUR)
        except TimeoutError:
            pass
        return await receive(str, name="word")

    clock = Clock()
    async with Coordinator(sqlite_url, clock=clock) as coordinator:
        run = await coordinator.start(in_savepoint, id="inside")
        await coordinator.run_until_idle()
        clock.move(HOUR)
        await coordinator.run_until_idle()
        await coordinator.signal("inside", "word", "after")
        await coordinator.run_until_idle()
        assert await run.result(30) == "after"
    assert GOT == ["inside", "-inside"]


@on_a_loop
async def test_a_run_that_fails_after_a_signal_says_so(sqlite_url: str) -> None:
    @saga(name="signals.fails")
    async def fails() -> None:
        await does("step")
        raise ValueError(await receive(str, name="word"))

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(fails, id="fails")
        await coordinator.signal("fails", "word", "no")
        assert "no" in str(await failure(run))
    assert GOT == ["step", "-step"]


def test_a_blocking_caller_can_send(sqlite_url: str) -> None:
    with Coordinator.sync(sqlite_url) as coordinator:
        run = coordinator.start(one, id="one")
        coordinator.signal("one", "paid", {"amount": 4})
        assert run.result(30) == 4
        again = coordinator.signal_or_start(many, 1, id="many", name="number", payload=1)
        assert again.result(30) == [1]
