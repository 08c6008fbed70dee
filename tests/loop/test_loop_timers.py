import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.loop.driving import Driven

Body = Callable[[Driven], Coroutine[Any, Any, None]]


def test_timer_never_fires_by_itself() -> None:
    run = Driven()
    run.loop.call_later(0, run.log.append, "fired")
    run.loop.now_ms = 10_000
    run.loop.turn()

    assert run.log == []


def test_timers_are_due_by_time_and_then_by_number() -> None:
    run = Driven()
    for delay in (3, 1, 2, 1, 1):
        run.loop.call_later(delay, run.log.append, delay)
    order = []
    while (when := run.loop.next_due_ms()) is not None:
        number = run.loop.due(when)
        assert number is not None
        order.append(number)
        run.loop.fire(number)
    run.loop.turn()

    assert order == [2, 4, 5, 3, 1]
    assert run.log == [1, 1, 1, 2, 3]


def test_nothing_is_due_before_its_millisecond() -> None:
    run = Driven()
    run.loop.call_later(0.0101, print)

    assert run.loop.next_due_ms() == 11
    assert run.loop.due(10) is None
    assert run.loop.due(11) == 1


@pytest.mark.parametrize("delay_ms", [1, 10, 70, 100, 333, 1_100, 60_000, 172_800_000])
def test_timer_is_due_at_exactly_its_millisecond(delay_ms: int) -> None:
    run = Driven()
    for now_ms in (*range(1_000), *range(1_700_000_000_000, 1_700_000_001_000, 7)):
        run.loop.now_ms = now_ms
        timer = run.loop.call_later(delay_ms / 1000, print)
        assert run.loop.next_due_ms() == now_ms + delay_ms
        timer.cancel()


def test_any_live_timer_fires_when_told_to() -> None:
    run = Driven()
    run.loop.call_later(5, run.log.append, "late")
    run.loop.call_later(1, run.log.append, "early")
    run.loop.fire(1)
    run.loop.turn()

    assert run.log == ["late"]
    assert run.loop.due(10_000) == 2


def test_cancelled_timer_never_fires() -> None:
    run = Driven()
    timer = run.loop.call_later(1, run.log.append, "fired")
    timer.cancel()

    assert timer.cancelled()
    assert run.loop.due(10_000) is None
    assert run.loop.next_due_ms() is None
    with pytest.raises(KeyError):
        run.loop.fire(1)


def test_timer_cancelled_after_it_fired_does_not_run() -> None:
    run = Driven()
    timer = run.loop.call_later(1, run.log.append, "fired")
    run.loop.fire(1)
    timer.cancel()
    run.loop.turn()

    assert run.log == []


def test_timer_fires_once() -> None:
    run = Driven()
    run.loop.call_later(1, run.log.append, "fired")
    run.loop.fire(1)
    run.loop.turn()

    with pytest.raises(KeyError):
        run.loop.fire(1)
    assert run.loop.next_due_ms() is None


def test_cancelled_timers_do_not_pile_up() -> None:
    run = Driven()
    run.loop.call_later(10, print)
    for _ in range(100_000):
        run.loop.call_later(1_000, print).cancel()

    assert len(run.loop._heap) < 200  # noqa: SLF001 - a leak can't be seen from outside
    assert run.loop.next_due_ms() == 10_000


def test_timers_fired_out_of_order_do_not_pile_up() -> None:
    run = Driven()
    run.loop.call_later(1, print)
    for number in range(2, 10_000):
        run.loop.call_later(1_000, run.log.append, number)
        run.loop.fire(number)

    assert len(run.loop._heap) < 200  # noqa: SLF001 - a leak can't be seen from outside


def test_timer_for_infinity_is_never_due() -> None:
    run = Driven()
    run.loop.call_later(math.inf, print)

    assert run.loop.next_due_ms() is None
    assert run.loop.due(2**63) is None


def test_timer_for_the_past_is_due_at_once() -> None:
    run = Driven()
    run.loop.now_ms = 1_000
    run.loop.call_at(-5, print)

    assert run.loop.due(1_000) == 1


def test_timer_for_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        Driven().loop.call_later(math.nan, print)


async def bounded(run: Driven) -> None:
    try:
        async with asyncio.timeout(5):
            run.log.append(await run.step("a"))
    except TimeoutError:
        run.log.append("timed out")


async def waited_for(run: Driven) -> None:
    try:
        run.log.append(await asyncio.wait_for(run.step("a"), 5))
    except TimeoutError:
        run.log.append("timed out")


async def bounded_by_a_time(run: Driven) -> None:
    try:
        async with asyncio.timeout_at(run.loop.time() + 5):
            run.log.append(await run.step("a"))
    except TimeoutError:
        run.log.append("timed out")


@pytest.mark.parametrize("body", [bounded, waited_for, bounded_by_a_time])
class TestTimeoutThatRacesAStep:
    def test_step_first(self, body: Body) -> None:
        run = Driven()
        run.begin(body)

        assert run.news("a") == ["call a", "a"]
        assert run.loop.next_due_ms() is None

    def test_timer_first(self, body: Body) -> None:
        run = Driven()
        run.begin(body)

        assert run.news(".", "a") == ["call a", "timed out"]

    def test_both_before_the_turn_end_alike_each_time(self, body: Body) -> None:
        logs = []
        for _ in range(2):
            run = Driven()
            run.begin(body)
            run.loop.fire(1)
            run.land("a")
            logs.append(run.log)

        assert logs[0] == logs[1]


def test_rescheduled_timeout_gets_a_new_number() -> None:
    async def body(run: Driven) -> None:
        async with asyncio.timeout(5) as bound:
            await run.step("a")
            bound.reschedule(run.loop.time() + 60)
            run.log.append(await run.step("b"))

    run = Driven()
    run.begin(body)
    run.land("a")

    assert run.loop.due(60_000) == 2
    assert run.news("b")[-1] == "b"


def test_expired_timeout_cancels_without_a_timer() -> None:
    async def body(run: Driven) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(-1):
                await run.step("a")
        run.log.append("timed out")

    run = Driven()
    run.begin(body)

    assert run.log == ["call a", "timed out"]
    assert run.loop.next_due_ms() is None
