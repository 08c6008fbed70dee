"""crash_test passes good sagas, and finds mistakes in the first schedule that shows them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from amends.sagas import DefinitionError, InputInvalid, current_step, saga, step
from amends.sagas.testing import CrashTestFailed, crash_test
from amends.sagas.testing.schedule import parse, written
from tests.testing_kit import shops
from tests.testing_kit.shops import SHOP, Shop, Unclean


def found(saga: Callable[..., Any], input: Any, **options: Any) -> CrashTestFailed:
    with pytest.raises(CrashTestFailed) as caught:
        crash_test(saga, input, world=SHOP, **options)
    return caught.value


@pytest.mark.parametrize(
    ("saga", "input"),
    [
        (shops.sell, "kettle"),
        (shops.sell_two, ("kettle", "pot")),
        (shops.refused, "kettle"),
    ],
    ids=["sell", "sell two", "refused"],
)
def test_a_good_saga_passes_with_one_mishap(saga: Callable[..., Any], input: Any) -> None:
    report = crash_test(saga, input, world=SHOP)
    assert report.cycles > 3 * report.points
    assert sum(report.ends.values()) == report.cycles


def test_a_good_saga_passes_with_kills_in_the_recovery() -> None:
    once = crash_test(shops.sell, "kettle", world=SHOP)
    twice = crash_test(shops.sell, "kettle", world=SHOP, twice=True)
    assert twice.cycles > 2 * once.cycles


def test_the_report_says_what_was_done() -> None:
    report = crash_test(shops.sell, "kettle", world=SHOP)
    assert str(report).startswith(f"kit.sell: {report.cycles} runs over 6 points, all as they should be: ")
    assert "completed" in str(report)
    assert "compensated" in str(report)


def test_runs_beyond_the_bound_are_counted_as_left_out() -> None:
    whole = crash_test(shops.sell, "kettle", world=SHOP)
    part = crash_test(shops.sell, "kettle", world=SHOP, most=20)
    assert part.cycles == 20
    assert part.cycles + part.left_out <= whole.cycles
    assert "left out" in str(part)


@pytest.mark.parametrize(
    ("saga", "input", "schedule", "words"),
    [
        (
            shops.ignores_its_key,
            5,
            "call 1 killed after",
            "kit.keyless was called more than once with the same idempotency key",
        ),
        (
            shops.pays_back_twice,
            5,
            "call 3 killed after",
            "the compensation of kit.pay was called more than once with the same idempotency key",
        ),
        (
            shops.forgets_to_undo,
            5,
            "write 2 cancelled before",
            "kit.give landed and has no compensation: give it one, or declare it irreversible",
        ),
        (
            shops.pays_back_blindly,
            5,
            "call 1 fails",
            "the compensation of kit.pay blindly was called where the step had never landed",
        ),
        (
            shops.counts_in_memory,
            "pot",
            "",
            "played twice while nothing goes wrong, it doesn't do the same",
        ),
        (
            shops.reads_the_world,
            "pot",
            "call 1 killed after",
            "the body isn't deterministic: replayed, it asks for something else than before",
        ),
        (
            shops.raises_when_nothing_is_there,
            "car",
            "call 1 fails",
            "the compensation of kit.rent raised KeyError",
        ),
        (
            shops.charges_again,
            5,
            "call 1 unanswered",
            "kit.charge plainly landed and has no compensation",
        ),
    ],
    ids=lambda value: value.name if hasattr(value, "name") else None,
)
def test_a_mistake_is_found_in_the_first_schedule_that_shows_it(
    saga: Callable[..., Any], input: Any, schedule: str, words: str
) -> None:
    failed = found(saga, input)
    assert failed.schedule == schedule
    assert words in failed.problem


def test_the_story_shows_the_world_the_journal_and_how_to_play_it_again() -> None:
    told = str(found(shops.pays_back_twice, 5))
    for words in (
        "kit.pays back twice doesn't end as it should under the schedule 'call 3 killed after'",
        "the worker was killed after call 3: undo kit.pay (1), attempt 1",
        "the world at the start:\n    ([], 0)",
        "the world now:\n    ([], -5)",
        "compensated, because of an error",
        "undone kit.pay (1)",
        "the compensation of kit.pay, attempt 1",
        "crash_test(..., schedule='call 3 killed after')",
    ):
        assert words in told


def test_one_schedule_is_played_again_alone() -> None:
    failed = found(shops.pays_back_twice, 5)
    again = found(shops.pays_back_twice, 5, schedule=failed.schedule)
    assert str(again) == str(failed)
    assert crash_test(shops.sell, "kettle", world=SHOP, schedule="call 1 fails").cycles == 1


def test_a_park_by_a_compensation_that_gives_up_can_be_allowed() -> None:
    report = crash_test(shops.raises_when_nothing_is_there, "car", world=SHOP, may_park=True)
    assert report.ends["parked"] > 0


def test_another_end_that_is_right_can_be_accepted() -> None:
    failed = found(shops.sell_otherwise, "kettle")
    assert failed.schedule == "call 1 fails"
    assert "say so with accept=" in failed.problem
    report = crash_test(
        shops.sell_otherwise,
        "kettle",
        world=SHOP,
        accept=lambda now: now == (["credit for kettle reserved"], 0),
    )
    assert report.ends["completed"] > 0


def test_a_world_that_reset_does_not_bring_back_is_reported() -> None:
    with pytest.raises(CrashTestFailed, match="the world isn't the same after reset"):
        crash_test(shops.closes, (), world=Unclean())


def test_a_run_that_goes_nowhere_is_reported() -> None:
    failed = found(shops.waits_for_ever, ())
    assert failed.schedule == ""
    assert "waits for something that can never come" in failed.problem
    assert "even when nothing goes wrong" in str(failed)


def test_a_schedule_that_the_run_never_comes_to_is_reported() -> None:
    assert "the run never came to call 9" in found(shops.sell, "kettle", schedule="call 9 fails").problem


def test_a_cancel_does_not_make_a_run_forget_a_compensation_that_was_retried() -> None:
    """L1, S9: the turn that ends the run is beaten by a cancel; made again, it must hold the outcome."""
    crash_test(shops.undone_at_the_second_try, (), world=SHOP, schedule="write 5 cancelled before")


@pytest.mark.parametrize(
    "text", ["call 1", "call 0 fails", "write 1 fails", "call 1 explodes", "call 1 frozen"]
)
def test_a_schedule_that_is_none_says_how_one_is_written(text: str) -> None:
    with pytest.raises(ValueError, match="such as 'call 2 fails, write 5 killed after'"):
        crash_test(shops.sell, "kettle", world=SHOP, schedule=text)


def test_schedules_are_written_as_they_are_read() -> None:
    text = "call 2 unanswered, write 5 killed before"
    assert written(parse(text)) == text


def test_a_saga_that_has_been_defined_again_is_refused() -> None:
    async def body() -> None: ...

    first = saga(name="kit.defined twice")(body)
    saga(name="kit.defined twice")(body)
    with pytest.raises(DefinitionError, match="has been defined again since"):
        crash_test(first, (), world=SHOP)


def test_what_is_no_saga_and_what_does_not_fit_is_refused() -> None:
    with pytest.raises(DefinitionError, match="is not a saga"):
        crash_test(Shop, "kettle", world=SHOP)
    with pytest.raises(InputInvalid):
        crash_test(shops.sell, ("kettle", "pot"), world=SHOP)


def test_steps_get_the_world_as_resources_unless_others_are_given() -> None:
    seen: list[Any] = []

    @step(name="kit.resources")
    async def look() -> None:
        seen.append(current_step().resources)

    @saga(name="kit.looks at resources")
    async def looks() -> None:
        await look()

    crash_test(looks, (), world=SHOP, schedule="")
    crash_test(looks, (), world=SHOP, resources="others", schedule="")
    assert seen[0] is SHOP
    assert seen[-1] == "others"


def test_a_world_may_be_asynchronous_and_the_test_too() -> None:
    class Asynchronous:
        async def reset(self) -> None:
            await asyncio.sleep(1)
            SHOP.reset()

        async def snapshot(self) -> Any:
            return SHOP.snapshot()

    async def test() -> int:
        return crash_test(shops.sell, "kettle", world=Asynchronous()).cycles

    assert asyncio.run(test()) > 20


def test_a_step_may_run_a_loop_of_its_own_in_its_thread() -> None:
    @step(name="kit.own loop")
    def own() -> int:
        async def answer() -> int:
            return 42

        return asyncio.run(answer())

    @saga(name="kit.has its own loop")
    async def has() -> int:
        return await own()

    assert crash_test(has, (), world=SHOP, schedule="").ends == {"completed": 1}
