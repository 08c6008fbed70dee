"""Starting runs: idempotent by id, typed, refused before anything is written."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

import pytest
from pydantic import BaseModel

from amends.sagas import (
    Coordinator,
    CoordinatorClosed,
    DefinitionError,
    InputInvalid,
    PayloadTooLarge,
    RunNotFound,
    StartConflict,
    Status,
    saga,
    sleep,
    step,
)
from amends.sagas.registry import SAGAS
from tests.sagas.running import Clock, failure, on_a_loop


class Order(BaseModel):
    number: int
    gift: bool = False


@saga(name="starting.double")
async def double(number: int) -> int:
    return number * 2


@saga(name="starting.sleeps")
async def sleeps(number: int = 1) -> int:
    await sleep(dt.timedelta(days=1))
    return number


@on_a_loop
async def test_the_same_id_and_input_give_the_same_run(database_url: str) -> None:
    """S17: idempotent: while it goes on, after its end, and from another coordinator."""
    async with Coordinator(database_url) as coordinator:
        first = await coordinator.start(double, 4, id="a")
        again = await coordinator.start(double, 4, id="a")
        assert (await first.result(10), await again.result(10)) == (8, 8)
        assert await (await coordinator.start(double, 4, id="a")).result(10) == 8
        asleep = await coordinator.start(sleeps, 4, id="b")
        await coordinator.start(sleeps, 4, id="b")
        assert asleep.id == "b"
    async with Coordinator(database_url) as coordinator:
        assert await (await coordinator.start(double, 4, id="a")).result(10) == 8
        assert len(await coordinator.list()) == 2


@on_a_loop
async def test_fifty_concurrent_starts_make_one_run(database_url: str) -> None:
    """S17: one id, one run, whoever starts it, from two coordinators at once."""
    count = 0

    @step
    async def counts() -> int:
        nonlocal count
        count += 1
        return count

    @saga
    async def body() -> int:
        return await counts()

    async with Coordinator(database_url) as one, Coordinator(database_url) as other:
        starts = [(one, other)[n % 2].start(body, id="a") for n in range(50)]
        runs = await asyncio.gather(*starts)
        assert await asyncio.gather(*(run.result(30) for run in runs)) == [1] * 50
    assert count == 1


@pytest.mark.parametrize("number", [5, "4 "])
@on_a_loop
async def test_the_same_id_with_other_input_is_a_conflict(sqlite_url: str, number: Any) -> None:
    """S17: otherwise `StartConflict`, which says what to do."""
    async with Coordinator(sqlite_url) as coordinator:
        await coordinator.start(double, 4, id="a")
        with pytest.raises((StartConflict, InputInvalid)):
            await coordinator.start(double, number, id="a")
        with pytest.raises(StartConflict, match=r"starting\.double"):
            await coordinator.start(sleeps, 4, id="a")
        assert len(await coordinator.list()) == 1


@on_a_loop
async def test_input_that_means_the_same_is_the_same(sqlite_url: str) -> None:
    """S17: compared is what the input means today: defaults given or not, added or there before."""

    def define(kind: Any) -> Any:
        async def of_order(order: Any) -> int:
            return int(order.number)

        of_order.__annotations__["order"] = kind
        return saga(name="starting.of_order")(of_order)

    class Earlier(BaseModel):
        number: int

    async with Coordinator(sqlite_url) as coordinator:
        await coordinator.start(define(Earlier), Earlier(number=3), id="a")
        newer = define(Order)
        outcomes = []
        for order in (Order(number=3), Order(number=3, gift=False), Order(number=3, gift=True)):
            try:
                run = await coordinator.start(newer, order, id="a")
                outcomes.append(str(await run.result(10)))
            except StartConflict:
                outcomes.append("conflict")
        assert outcomes == ["3", "3", "conflict"]


@on_a_loop
async def test_a_plain_function_is_no_saga(sqlite_url: str) -> None:
    """House style 4: the error says what to do."""

    async def plain() -> None: ...

    async with Coordinator(sqlite_url) as coordinator:
        with pytest.raises(DefinitionError, match="decorate it with @saga"):
            await coordinator.start(plain)
        with pytest.raises(DefinitionError):
            await coordinator.start(None)  # type: ignore[arg-type]  # on purpose


@pytest.mark.parametrize("bad", ["", "x" * 201, "line\nbreak", "zero\0", 7, "\ud800"], ids=repr)
@on_a_loop
async def test_an_id_that_can_not_be_shown_is_refused(sqlite_url: str, bad: Any) -> None:
    """Faults: NUL, control characters and lone surrogates, the same on both stores."""
    async with Coordinator(sqlite_url) as coordinator:
        with pytest.raises(InputInvalid, match="id"):
            await coordinator.start(double, 1, id=bad)


@pytest.mark.parametrize("good", ["x" * 200, "órdér-☃-𝄞", " ", "a'b\"c;--", "%s {0} \\"])
@on_a_loop
async def test_any_printable_id_will_do(database_url: str, good: str) -> None:
    """Section 2: the id given to `start` is the run's id."""
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(double, 1, id=good)
        assert await run.result(10) == 2
        assert await (await coordinator.get(good)).result(10) == 2


@on_a_loop
async def test_a_run_without_an_id_gets_one_of_its_own(sqlite_url: str) -> None:
    """Section 2: a UUID otherwise; the same saga and input make another run."""
    async with Coordinator(sqlite_url) as coordinator:
        runs = [await coordinator.start(double, 1) for _ in range(3)]
        assert len({run.id for run in runs}) == 3


@pytest.mark.parametrize("wrong", [("x",), (), (1, 2), (None,), (1.5,)])
@on_a_loop
async def test_arguments_that_do_not_fit_start_nothing(sqlite_url: str, wrong: tuple[Any, ...]) -> None:
    """S26: arguments are validated before anything is written."""
    async with Coordinator(sqlite_url) as coordinator:
        with pytest.raises(InputInvalid, match="double"):
            await coordinator.start(double, *wrong)
        assert await coordinator.list() == []


@on_a_loop
async def test_input_over_the_limit_starts_nothing(sqlite_url: str) -> None:
    """Faults: payloads over the limit are refused with size and limit."""

    @saga
    async def takes(text: str) -> None: ...

    async with Coordinator(sqlite_url, max_payload=1_000) as coordinator:
        with pytest.raises(PayloadTooLarge, match="1,000") as caught:
            await coordinator.start(takes, "x" * 1_000)
        assert (caught.value.size > 1_000, caught.value.limit) == (True, 1_000)
        assert await coordinator.list() == []


@on_a_loop
async def test_a_closed_coordinator_says_so(sqlite_url: str) -> None:
    """House style 4: outside its block it can't do anything, and says which block."""
    coordinator = Coordinator(sqlite_url)
    with pytest.raises(CoordinatorClosed, match="async with"):
        await coordinator.start(double, 1)
    async with coordinator:
        run = await coordinator.start(double, 1)
        assert await run.result(10) == 2
        with pytest.raises(CoordinatorClosed):
            async with coordinator:
                pass
    with pytest.raises(CoordinatorClosed):
        await run.status()


@on_a_loop
async def test_a_run_of_a_saga_that_is_gone_stays_ready_and_readable(sqlite_url: str) -> None:
    """Section 2: a coordinator claims only what it serves; the others stay."""
    clock = Clock()

    @saga(name="starting.gone")
    async def gone() -> int:
        await sleep(dt.timedelta(days=1))
        return 1

    async with Coordinator(sqlite_url, clock=clock) as coordinator:
        await coordinator.start(gone, id="a")
        await coordinator.run_until_idle()
    kept = SAGAS._items.pop(("starting.gone", "1"))  # noqa: SLF001 - as a deployment without it would
    clock.move(dt.timedelta(days=2))
    async with Coordinator(sqlite_url, clock=clock) as coordinator:
        await coordinator.run_until_idle()
        run = await coordinator.get("a")
        assert await run.status() is Status.READY
    SAGAS._items["starting.gone", "1"] = kept  # noqa: SLF001 - as above
    async with Coordinator(sqlite_url, clock=clock) as coordinator:
        await coordinator.run_until_idle()
        assert await (await coordinator.get("a")).result(10) == 1


@on_a_loop
async def test_a_coordinator_serves_only_the_sagas_it_is_told_to(sqlite_url: str) -> None:
    """Section 2: `sagas=` limits what a worker serves; others may be started all the same."""
    async with Coordinator(sqlite_url, sagas=[sleeps]) as coordinator:
        run = await coordinator.start(double, 3, id="a")
        await coordinator.run_until_idle()
        assert await run.status() is Status.READY
        async with Coordinator(sqlite_url, sagas=[double]):
            assert await run.result(30) == 6


@on_a_loop
async def test_nobody_has_a_run_that_was_never_started(database_url: str) -> None:
    """`RunNotFound` names the id."""
    async with Coordinator(database_url) as coordinator:
        for name in ("nobody", "", "\0", "\ud800"):
            with pytest.raises(RunNotFound):
                await coordinator.get(name)


@on_a_loop
async def test_each_version_of_a_saga_runs_where_it_is_defined(sqlite_url: str) -> None:
    """Section 3: runs hold their saga's version."""

    def define(version: int) -> Any:
        @saga(name="starting.versions", version=version)
        async def body() -> int:
            return version

        return body

    old, new = define(1), define(2)
    async with Coordinator(sqlite_url) as coordinator:
        assert await (await coordinator.start(old)).result(10) == 1
        assert await (await coordinator.start(new)).result(10) == 2
        assert {info.version for info in await coordinator.list()} == {"1", "2"}


@on_a_loop
async def test_a_failed_start_leaves_nothing_behind(sqlite_url: str) -> None:
    """S24: a saga that fails before any effect ends at once."""

    @saga
    async def fails() -> None:
        raise ValueError("at once")

    async with Coordinator(sqlite_url) as coordinator:
        failed = await failure(await coordinator.start(fails))
        assert (failed.status, str(failed.error)) == ("failed", "at once")
        assert coordinator._open_parts().driver.holding == 0  # noqa: SLF001 - what it holds
