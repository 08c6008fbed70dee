import asyncio
import contextlib
import contextvars
import gc
import subprocess
import sys
import threading
import warnings
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.loop.driving import Driven

CHECKOUT = Path(__file__).parents[2]
Body = Callable[[Driven], Coroutine[Any, Any, Any]]


def evicted(body: Body) -> list[Any]:
    """Return what the body wrote down while it was closed."""
    run = Driven()
    run.begin(body)
    begun = len(run.log)
    run.loop.shut()
    return run.log[begun:]


def test_finally_blocks_run_from_the_inside_out() -> None:
    async def inner(run: Driven) -> None:
        try:
            await run.step("a")
        finally:
            run.log.append("inner")

    async def body(run: Driven) -> None:
        try:
            await inner(run)
        finally:
            run.log.append("outer")

    assert evicted(body) == ["inner", "outer"]


def test_youngest_task_is_closed_first() -> None:
    async def branch(run: Driven, name: str) -> None:
        try:
            await run.step(name)
        finally:
            run.log.append(name)

    async def body(run: Driven) -> None:
        await asyncio.gather(*(branch(run, name) for name in "abc"))

    assert evicted(body) == ["c", "b", "a"]


def test_finally_that_raises_stops_nothing() -> None:
    async def body(run: Driven) -> None:
        try:
            await run.step("a")
        finally:
            run.log.append("closing")
            raise LookupError

    assert evicted(body) == ["closing"]


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_finally_that_raises_an_interrupt_stops_nothing(raised: type[BaseException]) -> None:
    async def body(run: Driven) -> None:
        try:
            await run.step("a")
        finally:
            run.log.append("closing")
            raise raised

    assert evicted(body) == ["closing"]


def test_finally_that_awaits_gets_no_answer() -> None:
    async def body(run: Driven) -> None:
        try:
            await run.step("a")
        finally:
            try:
                await asyncio.sleep(0)
                await run.step("b")
                run.log.append("answered")
            finally:
                await asyncio.sleep(1)
                run.log.append("answered")

    assert "answered" not in evicted(body)


def test_caller_of_a_callee_that_awaits_in_finally_sees_no_error() -> None:
    async def inner(run: Driven) -> None:
        try:
            await run.step("a")
        finally:
            try:
                await run.step("b")
            finally:
                await run.step("c")

    async def body(run: Driven) -> None:
        try:
            await inner(run)
        except Exception as error:  # noqa: BLE001 - none is to come
            run.log.append(error)
        finally:
            run.log.append("outer")

    assert evicted(body) == ["call b", "call c", "outer"]


def test_finally_that_starts_tasks_starts_nothing() -> None:
    async def late(run: Driven) -> None:
        run.log.append("late")

    async def body(run: Driven) -> None:
        try:
            await run.step("a")
        finally:
            run.log.append("closing")
            tasks = [asyncio.create_task(late(run)) for _ in range(3)]
            run.loop.call_later(0, run.log.append, "late")
            run.loop.call_soon(run.log.append, "late")
            await asyncio.gather(*tasks)

    assert evicted(body) == ["closing"]


def test_finally_that_opens_a_group_starts_nothing() -> None:
    async def body(run: Driven) -> None:
        try:
            await run.step("a")
        finally:
            async with asyncio.timeout(5), asyncio.TaskGroup() as group:
                run.log.append("closing")
                group.create_task(run.step("b"))

    assert evicted(body) == ["closing"]


def test_body_that_swallows_everything_is_given_up() -> None:
    async def body(run: Driven) -> None:
        while True:
            with contextlib.suppress(BaseException):
                await run.step("a")

    assert 1 < len(evicted(body)) < 1_000


def test_body_that_awaits_for_ever_in_finally_is_given_up() -> None:
    async def stubborn(run: Driven) -> None:
        try:
            await run.step("a")
        finally:
            while True:
                try:
                    await asyncio.sleep(0)
                except GeneratorExit:
                    run.log.append("again")

    async def body(run: Driven) -> None:
        try:
            await stubborn(run)
        finally:
            run.log.append("outer")

    log = evicted(body)
    assert "outer" not in log
    assert 1 < len(log) < 1_000


def test_task_that_never_began_runs_nothing() -> None:
    run = Driven()
    task = run.loop.create_task(run.step("a"))
    run.loop.shut()
    run.loop.turn()

    assert run.log == []
    assert not task.done()


def test_group_and_lock_and_timeout_are_left_quietly() -> None:
    async def branch(run: Driven, lock: asyncio.Lock) -> None:
        async with lock:
            try:
                await run.step("a")
            finally:
                run.log.append("branch")

    async def body(run: Driven) -> None:
        lock = asyncio.Lock()
        try:
            async with asyncio.timeout(5), asyncio.TaskGroup() as group:
                for _ in range(3):
                    group.create_task(branch(run, lock))
        finally:
            run.log.append("body")

    assert evicted(body) == ["branch", "body"]


def test_context_of_the_task_is_there_in_finally() -> None:
    variable = contextvars.ContextVar("variable", default="outside")

    async def body(run: Driven) -> None:
        token = variable.set("body")
        try:
            await run.step("a")
        finally:
            run.log.append(variable.get())
            variable.reset(token)
            run.log.append(variable.get())

    assert evicted(body) == ["body", "outside"]


def test_shut_within_the_context_of_the_task_closes_it_too() -> None:
    async def body(run: Driven) -> None:
        try:
            await run.step("a")
        finally:
            run.log.append("closing")

    run = Driven()
    context = contextvars.copy_context()
    run.loop.create_task(body(run), context=context)
    run.loop.turn()
    context.run(run.loop.shut)

    assert run.log == ["call a", "closing"]


async def generated(run: Driven) -> AsyncIterator[str]:
    try:
        yield "first"
        await run.step("a")
        yield "second"
    finally:
        run.log.append("generator")
        try:
            await run.step("b")
        finally:
            run.log.append("generator's finally")


def test_generator_that_waits_for_a_step_is_closed_before_its_reader() -> None:
    async def body(run: Driven) -> None:
        try:
            async for _ in generated(run):
                pass
        finally:
            run.log.append("body")

    assert evicted(body) == ["generator", "call b", "generator's finally", "body"]


def test_generator_that_was_left_half_way_is_closed() -> None:
    async def body(run: Driven) -> None:
        async for _ in generated(run):
            break
        await run.step("c")

    assert evicted(body) == ["generator", "call b", "generator's finally"]


def test_generator_that_yields_in_finally_is_given_up() -> None:
    async def stubborn(run: Driven) -> AsyncIterator[int]:
        while True:
            try:
                yield 1
            except GeneratorExit:
                run.log.append("again")

    async def body(run: Driven) -> None:
        async for _ in stubborn(run):
            await run.step("a")

    assert 1 < len(evicted(body)) < 1_000


def test_shutting_is_true_in_finally_and_after() -> None:
    async def body(run: Driven) -> None:
        try:
            await run.step("a")
        finally:
            run.log.append(run.loop.shutting)

    run = Driven()
    run.begin(body)
    run.log.append(run.loop.shutting)
    run.loop.shut()

    assert run.log == ["call a", False, True]
    assert run.loop.shutting
    assert run.loop.is_closed()


def test_nothing_happens_after_shut() -> None:
    run = Driven()
    run.begin(lambda run: run.step("a"))
    future = run.waiting["a"]
    run.loop.call_later(1, run.log.append, "late")
    run.loop.shut()
    run.loop.shut()
    run.loop.close()
    future.set_result("late")
    run.loop.call_soon(run.log.append, "late")
    run.loop.call_later(0, run.log.append, "late")
    run.loop.create_task(run.step("late"))
    run.loop.turn()

    assert run.log == ["call a"]
    assert run.loop.next_due_ms() is None
    assert run.loop.unfinished() == []
    with pytest.raises(KeyError):
        run.loop.fire(1)


def test_evicted_runs_leave_nothing_in_memory() -> None:
    class Ballast:
        pass

    async def body(run: Driven) -> None:
        ballast = Ballast()
        run.log.append(weakref.ref(ballast))
        await asyncio.gather(run.step("a"), asyncio.sleep(5))
        del ballast

    run = Driven()
    run.begin(body)
    held, loop = run.log[0], weakref.ref(run.loop)
    assert held() is not None
    run.loop.shut()
    assert held() is None
    del run
    gc.collect()
    assert loop() is None


def test_other_threads_are_heard_while_a_loop_shuts() -> None:
    heard: list[Any] = []

    async def unawaited() -> None:
        pass

    def other() -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            coroutine = unawaited()
            del coroutine
        heard.extend(str(each.message) for each in caught)

    async def body(run: Driven) -> None:
        try:
            await run.step("a")
        finally:
            thread = threading.Thread(target=other)
            thread.start()
            thread.join()

    hooks = sys.unraisablehook, vars(warnings).get("_warn_unawaited_coroutine")
    evicted(body)

    assert len(heard) == 1
    assert "was never awaited" in heard[0]
    assert (sys.unraisablehook, vars(warnings).get("_warn_unawaited_coroutine")) == hooks


EVERYTHING = """
import asyncio, gc, inspect, sys
import tests.loop.conftest
from tests.loop import test_loop_shut as shut
from tests.loop.driving import Driven

async def unawaited(run): pass

async def keeps_coroutines(run):
    coroutines = [unawaited(run) for _ in range(3)]
    await run.step("a")
    await asyncio.gather(*coroutines)

async def never_looked_at(run):
    async def failing(): raise LookupError
    asyncio.create_task(failing())
    await run.step("a")

bodies = [keeps_coroutines, never_looked_at]
collect = shut.evicted
shut.evicted = lambda body: bodies.append(body) or []
for name, test in list(vars(shut).items()):
    if not name.startswith("test_") or inspect.signature(test).parameters:
        continue
    if "evicted(" in inspect.getsource(test):
        try:
            test()
        except AssertionError:
            pass
assert len(bodies) > 15, bodies

def evict(body, begin):
    run = Driven()
    task = run.loop.create_task(body(run))
    if begin:
        run.loop.turn()
    run.loop.shut()

for body in bodies:
    for begin in (True, False):
        evict(body, begin)
        gc.collect()

async def application():
    for body in bodies:
        evict(body, True)
    gc.collect()
    await asyncio.sleep(0)

asyncio.run(application())
print(len(bodies))
"""


@pytest.mark.parametrize("options", [(), ("-X", "dev")], ids=["plain", "development"])
def test_shut_prints_nothing(options: tuple[str, ...]) -> None:
    command = [sys.executable, *options, "-W", "always", "-c", EVERYTHING]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)

    # On a busy machine, development mode tells of callbacks that took long.
    told = [line for line in done.stderr.splitlines() if not line.startswith("Executing <")]
    assert told == []
    assert done.returncode == 0
