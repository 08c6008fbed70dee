"""Bounds: how many runs in memory, how many steps at once, how large a payload."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from amends.sagas import Coordinator, PayloadTooLarge, Status, Undo, saga, step
from tests.sagas.running import Gate, ended, failure, on_a_loop, result_of

FULL = (1 << 20) - 100
"""So long a text is in JSON almost as large as a payload may be."""
EMPTIED: list[bool] = []


@pytest.mark.parametrize("most", [1, 3])
@on_a_loop
async def test_starts_beyond_max_running_are_stored_and_run_later(database_url: str, most: int) -> None:
    """Performance, Backpressure: a start beyond it is stored and waits; none is lost."""
    held: list[int] = []

    @step
    async def does(number: int) -> int:
        held.append(coordinator._open_parts().driver.holding)  # noqa: SLF001 - what it holds
        await asyncio.sleep(0)
        return number

    @saga
    async def body(number: int) -> int:
        return await does(number)

    async with Coordinator(database_url, max_running=most) as coordinator:
        runs = [await coordinator.start(body, number) for number in range(20)]
        assert await asyncio.gather(*(run.result(50) for run in runs)) == list(range(20))
    assert max(held) <= most


@on_a_loop
async def test_a_run_beyond_max_running_is_ready(sqlite_url: str) -> None:
    """Section 4: `ready` waits for a worker, and is durable meanwhile."""
    gate = Gate()

    @step
    async def holds() -> None:
        await gate.wait()

    @saga
    async def body() -> None:
        await holds()

    async with Coordinator(sqlite_url, max_running=1) as coordinator:
        await coordinator.start(body, id="a")
        await gate.reached.wait()
        late = await coordinator.start(body, id="b")
        assert await late.status() is Status.READY
        gate.opened.set()
        assert await ended(late) is Status.COMPLETED


@pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])
@on_a_loop
async def test_no_more_than_max_steps_are_under_way(sqlite_url: str, sync: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Performance, Backpressure: `max_steps` bounds the attempts in flight of all runs."""
    lock = threading.Lock()
    busy = most = 0

    def enters() -> None:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)

    def leaves() -> None:
        nonlocal busy
        with lock:
            busy -= 1

    @step
    async def works() -> None:
        enters()
        await asyncio.sleep(0.002)
        leaves()

    @step
    def works_in_a_thread() -> None:
        enters()
        leaves()

    @saga
    async def body() -> None:
        await asyncio.gather(*((works_in_a_thread if sync else works)() for _ in range(12)))

    async with Coordinator(sqlite_url, max_steps=3) as coordinator:
        runs = [await coordinator.start(body) for _ in range(3)]
        await asyncio.gather(*(run.result(50) for run in runs))
    assert most <= 3


@on_a_loop
async def test_arguments_over_the_limit_are_an_error_in_the_body(sqlite_url: str) -> None:
    """S26: refused with size and limit, before F; nothing is undone, for nothing was done."""
    called: list[int] = []

    @step
    async def takes(text: str) -> None:
        called.append(len(text))

    @takes.compensation
    async def gives_back(undo: Undo[None], text: str) -> None:
        called.append(-1)

    @saga
    async def body() -> list[int]:
        try:
            await takes("x" * 2_000)
        except PayloadTooLarge as error:
            return [error.size, error.limit]
        return []

    assert await result_of(sqlite_url, body, max_payload=1_000) == [2_011, 1_000]
    assert called == []


@on_a_loop
async def test_a_result_over_the_limit_has_landed_and_is_undone(sqlite_url: str) -> None:
    """S26: landed, result lost, still owed."""
    undone: list[Any] = []

    @step
    async def makes() -> str:
        return "x" * 2_000

    @makes.compensation
    async def unmakes(undo: Undo[str]) -> None:
        undone.append((undo.result, undo.outcome))

    @saga
    async def body() -> str:
        try:
            await makes()
        except PayloadTooLarge as error:
            return str(error)
        return ""

    told = await result_of(sqlite_url, body, max_payload=1_000)
    assert "2,002 bytes" in told
    assert "1,000" in told
    assert undone == [(None, "landed")]


@on_a_loop
async def test_a_sagas_result_over_the_limit_fails_and_undoes_the_run(sqlite_url: str) -> None:
    """S13: a run that can't say its result hasn't completed."""
    undone: list[str] = []

    @step
    async def does() -> None: ...

    @does.compensation
    async def undoes(undo: Undo[None]) -> None:
        undone.append(undo.cause)

    @saga
    async def body() -> str:
        await does()
        return "x" * 2_000

    async with Coordinator(sqlite_url, max_payload=1_000) as coordinator:
        failed = await failure(await coordinator.start(body))
    assert failed.status == "compensated"
    assert isinstance(failed.error, PayloadTooLarge)
    assert undone == ["error"]


@on_a_loop
async def test_three_thousand_steps_at_once_end(sqlite_url: str) -> None:
    """Performance: a wide fork is many rows, not many transactions, and no recursion."""

    @step
    async def does(number: int) -> int:
        return number

    @saga
    async def body() -> int:
        return sum(await asyncio.gather(*(does(number) for number in range(3_000))))

    assert await result_of(sqlite_url, body) == sum(range(3_000))


@step
async def limits_fill(number: int) -> str:
    return str(number) * FULL


@limits_fill.compensation
async def limits_empty(undo: Undo[str], number: int) -> None:
    EMPTIED.append(undo.result == str(number) * FULL)


@saga
async def limits_heavy(text: str) -> int:
    texts = [await limits_fill(number) for number in range(4)]
    return len(text) + sum(map(len, texts))


@on_a_loop
async def test_payloads_of_almost_the_limit_are_nothing_special(database_url: str) -> None:
    """S8: a dozen runs with all that they may carry, at once; another undoes them from the log."""
    EMPTIED.clear()
    async with Coordinator(database_url) as coordinator:
        runs = [await coordinator.start(limits_heavy, "x" * FULL) for _ in range(12)]
        assert await asyncio.gather(*(run.result(50) for run in runs)) == [5 * FULL] * 12
    async with Coordinator(database_url) as other:
        for run in runs:
            await other.undo(run.id)
        await other.run_until_idle()
        assert {await (await other.get(run.id)).status() for run in runs} == {Status.COMPENSATED}
    assert EMPTIED == [True] * 48
