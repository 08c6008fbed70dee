import asyncio
import contextvars
import gc
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from amends.sagas.loop import EndlessTurn
from tests.loop.driving import Driven


async def gathers(run: Driven) -> None:
    run.log.append(await asyncio.gather(run.step("a"), run.step("b"), run.step("c")))


async def groups(run: Driven) -> None:
    async def branch(name: str) -> None:
        run.log.append(await run.step(name))

    async with asyncio.TaskGroup() as group:
        for name in "abc":
            group.create_task(branch(name))
    run.log.append("joined")


async def waits_for_first(run: Driven) -> None:
    pending = {asyncio.create_task(run.step(name)) for name in "abc"}
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        run.log.append(sorted(task.result() for task in done))


async def completes(run: Driven) -> None:
    for each in asyncio.as_completed([run.step(name) for name in "abc"]):
        run.log.append(await each)


async def queues(run: Driven) -> None:
    queue: asyncio.Queue[str] = asyncio.Queue(maxsize=1)

    async def produce(name: str) -> None:
        await queue.put(await run.step(name))
        run.log.append(f"put {name}")

    tasks = [asyncio.create_task(produce(name)) for name in "abc"]
    for _ in tasks:
        run.log.append(await queue.get())


async def shares_a_semaphore(run: Driven) -> None:
    semaphore = asyncio.Semaphore(2)

    async def branch(name: str) -> None:
        async with semaphore:
            run.log.append(await run.step(name))

    await asyncio.gather(*(branch(name) for name in "abc"))


async def locks(run: Driven) -> None:
    lock = asyncio.Lock()

    async def branch(name: str) -> None:
        await run.step(name)
        async with lock:
            await asyncio.sleep(0)
            run.log.append(name)

    await asyncio.gather(*(branch(name) for name in "abc"))


async def notifies(run: Driven) -> None:
    condition = asyncio.Condition()
    landed: list[str] = []

    async def branch(name: str) -> None:
        landed.append(await run.step(name))
        async with condition:
            condition.notify_all()

    tasks = [asyncio.create_task(branch(name)) for name in "abc"]
    async with condition:
        await condition.wait_for(lambda: len(landed) == 2)
        run.log.append(list(landed))
    await asyncio.gather(*tasks)


async def meets_at_a_barrier(run: Driven) -> None:
    barrier = asyncio.Barrier(3)

    async def branch(name: str) -> None:
        await run.step(name)
        run.log.append((name, await barrier.wait()))

    await asyncio.gather(*(branch(name) for name in "abc"))


async def sets_an_event(run: Driven) -> None:
    event = asyncio.Event()

    async def branch(name: str) -> None:
        await run.step(name)
        event.set()

    tasks = [asyncio.create_task(branch(name)) for name in "abc"]
    await event.wait()
    run.log.append([task.done() for task in tasks])
    await asyncio.gather(*tasks)


Construct = Callable[[Driven], Coroutine[Any, Any, None]]

RECORDED: list[tuple[Construct, str, list[Any]]] = [
    (gathers, "abc", [["a", "b", "c"]]),
    (gathers, "cab", [["a", "b", "c"]]),
    (groups, "abc", ["a", "b", "c", "joined"]),
    (groups, "cab", ["c", "a", "b", "joined"]),
    (waits_for_first, "abc", [["a"], ["b"], ["c"]]),
    (waits_for_first, "cab", [["c"], ["a"], ["b"]]),
    (completes, "abc", ["a", "b", "c"]),
    (completes, "cab", ["c", "a", "b"]),
    (queues, "abc", ["put a", "a", "put b", "b", "put c", "c"]),
    (queues, "cab", ["put c", "c", "put a", "a", "put b", "b"]),
    (shares_a_semaphore, "abc", ["a", "call c", "b", "c"]),
    (shares_a_semaphore, "bca", ["b", "call c", "c", "a"]),
    (locks, "abc", ["a", "b", "c"]),
    (locks, "cab", ["c", "a", "b"]),
    (notifies, "abc", [["a", "b"]]),
    (notifies, "cab", [["c", "a"]]),
    (meets_at_a_barrier, "abc", [("c", 2), ("a", 0), ("b", 1)]),
    (meets_at_a_barrier, "cab", [("b", 2), ("c", 0), ("a", 1)]),
    (sets_an_event, "abc", [[True, False, False]]),
    (sets_an_event, "cab", [[False, False, True]]),
]


@pytest.mark.parametrize(
    ("body", "order", "log"), RECORDED, ids=[f"{body.__name__}-{order}" for body, order, _ in RECORDED]
)
def test_construct_replays_in_the_recorded_order(body: Construct, order: str, log: list[Any]) -> None:
    for _ in range(3):
        run = Driven()
        task = run.begin(body)
        called = len(run.log)

        assert run.news(*order)[called:] == log
        assert task.done()
        assert run.loop.unhandled == []


def test_running_loop_of_a_body_is_the_bodys() -> None:
    run = Driven()

    async def body(run: Driven) -> None:
        run.log.extend([asyncio.get_running_loop(), asyncio.current_task()])

    task = run.begin(body)
    assert run.log == [run.loop, task]
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.get_running_loop()


def test_failing_sibling_cancels_the_group_and_its_error_comes_out() -> None:
    async def body(run: Driven) -> None:
        tasks: list[asyncio.Task[Any]] = []
        try:
            async with asyncio.TaskGroup() as group:
                tasks += [group.create_task(run.step(name)) for name in "abc"]
        except* LookupError as errors:
            run.log.append([str(error) for error in errors.exceptions])
        run.log.append([task.cancelled() for task in tasks])

    run = Driven()
    task = run.begin(body)

    assert run.news("a", "!b")[3:] == [["b"], [False, False, True]]
    assert task.done()


def test_time_stands_still_within_a_turn_and_follows_now_ms() -> None:
    async def body(run: Driven) -> None:
        run.log.append(run.loop.time())
        await asyncio.sleep(1.5)
        run.log.append(run.loop.time())

    run = Driven()
    run.loop.now_ms = 1_700_000_000_250
    run.begin(body)
    run.pass_time()

    assert run.log == [1_700_000_000.25, 1_700_000_001.75]


def test_shielded_step_goes_on_when_the_waiting_task_is_cancelled() -> None:
    async def body(run: Driven) -> None:
        inner = asyncio.create_task(run.step("a"))
        outer = asyncio.create_task(asyncio.wait_for(asyncio.shield(inner), 10))
        await asyncio.sleep(0)
        outer.cancel()
        await asyncio.wait([outer])
        run.log.append((outer.cancelled(), inner.done()))
        run.log.append(await inner)

    run = Driven()
    run.begin(body)

    assert run.news("a") == ["call a", (True, False), "a"]


def test_async_generator_yields_what_its_steps_gave() -> None:
    async def steps(run: Driven) -> AsyncIterator[str]:
        for name in "ab":
            yield await run.step(name)

    async def body(run: Driven) -> None:
        run.log.extend([name async for name in steps(run)])

    run = Driven()
    run.begin(body)

    assert run.news("a", "b") == ["call a", "call b", "a", "b"]


def test_task_has_its_own_copy_of_the_context() -> None:
    variable = contextvars.ContextVar("variable", default="outside")

    async def body(run: Driven) -> None:
        variable.set("body")
        child = asyncio.create_task(change())
        await child
        run.log.append((variable.get(), child.result()))

    async def change() -> str:
        seen = variable.get()
        variable.set("child")
        return seen

    run = Driven()
    run.begin(body)

    assert run.log == [("body", "body")]
    assert variable.get() == "outside"


def test_task_names_depend_on_nothing_outside_the_run() -> None:
    async def body(run: Driven) -> None:
        await asyncio.sleep(0)
        task = asyncio.create_task(run.step("a"))
        named = asyncio.create_task(run.step("b"), name="mine")
        run.log.append([task.get_name(), named.get_name()])

    logs = []
    for _ in range(2):
        run = Driven()
        run.begin(body)
        logs.append(run.log[0])
        run.loop.shut()

    assert logs == [["Task-2", "mine"]] * 2


def test_eager_start_is_ignored() -> None:
    run = Driven()
    run.loop.create_task(run.step("a"), eager_start=True)

    assert run.log == []
    run.loop.turn()
    assert run.log == ["call a"]
    run.loop.shut()


def test_unfinished_tasks_are_listed_in_creation_order() -> None:
    run = Driven()
    tasks = [run.loop.create_task(run.step(str(number))) for number in range(200)]
    run.loop.turn()
    for number in range(0, 200, 2):
        run.land(str(number))

    assert run.loop.unfinished() == tasks[1::2]
    run.loop.shut()


def test_garbage_collection_loses_no_task() -> None:
    async def branch(run: Driven, number: int) -> None:
        await asyncio.get_running_loop().create_future() if number % 2 else await run.step(str(number))

    async def body(run: Driven) -> None:
        for number in range(300):
            asyncio.create_task(branch(run, number))  # noqa: RUF006 - the loop is to hold it

    run = Driven()
    run.begin(body)
    gc.collect()

    assert len(run.loop.unfinished()) == 300
    run.loop.shut()


def test_ended_tasks_are_not_held_for_ever() -> None:
    async def body(run: Driven) -> None:
        for _ in range(10_000):
            await asyncio.create_task(asyncio.sleep(0))

    run = Driven()
    run.begin(body)
    gc.collect()

    held = [
        each for each in gc.get_objects() if isinstance(each, asyncio.Task) and each.get_loop() is run.loop
    ]
    assert len(held) <= 200


def test_exhausted_generators_are_not_held_for_ever() -> None:
    async def one() -> AsyncIterator[int]:
        yield 1

    async def body(run: Driven) -> None:
        for _ in range(1_000):
            run.log.extend([each async for each in one()])

    run = Driven()
    run.begin(body)
    gc.collect()

    held = [each for each in gc.get_objects() if inspect.isasyncgen(each)]
    assert len(held) <= 200


def test_endless_loop_ends_the_turn() -> None:
    async def body(_run: Driven) -> None:
        while True:  # noqa: ASYNC110 - the point of it
            await asyncio.sleep(0)

    run = Driven(max_callbacks=1_000)
    with pytest.raises(EndlessTurn, match="1,000 callbacks"):
        run.begin(body)

    assert not run.loop.is_running()
    run.loop.shut()


def test_turn_of_exactly_the_allowed_callbacks_is_no_endless_turn() -> None:
    run = Driven(max_callbacks=10)
    for number in range(10):
        run.loop.call_soon(run.log.append, number)
    run.loop.turn()

    assert run.log == list(range(10))


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_interrupt_leaves_the_turn_and_the_rest_ready(interrupt: type[BaseException]) -> None:
    async def interrupted() -> None:
        raise interrupt

    run = Driven()
    run.loop.create_task(interrupted())
    run.loop.call_soon(run.log.append, "after")
    with pytest.raises(interrupt):
        run.loop.turn()

    assert (run.log, run.loop.is_running()) == ([], False)
    run.loop.turn()
    assert run.log == ["after"]


def test_error_in_a_callback_is_kept_and_the_turn_goes_on() -> None:
    run = Driven()
    run.loop.call_soon(lambda: 1 / 0)
    run.loop.call_soon(run.log.append, "after")
    run.loop.turn()

    assert run.log == ["after"]
    assert [type(each["exception"]) for each in run.loop.unhandled] == [ZeroDivisionError]


def test_exception_never_retrieved_is_kept_and_not_printed(capfd: pytest.CaptureFixture[str]) -> None:
    async def failing() -> None:
        raise LookupError

    async def body(_run: Driven) -> None:
        asyncio.create_task(failing())  # noqa: RUF006 - nobody is to look at it

    run = Driven()
    run.begin(body)
    for _ in range(100):
        run.loop.create_task(asyncio.sleep(0))
        run.loop.turn()
    gc.collect()

    assert [type(each["exception"]) for each in run.loop.unhandled] == [LookupError]
    assert capfd.readouterr().err == ""


def test_turn_within_its_own_turn_is_refused() -> None:
    run = Driven()
    run.loop.call_soon(run.loop.turn)
    run.loop.call_soon(run.loop.shut)
    run.loop.turn()

    assert [str(each["exception"]) for each in run.loop.unhandled] == [
        "the body's loop is in a turn already"
    ] * 2


def test_loops_share_nothing() -> None:
    one, other = Driven(), Driven()
    one.loop.call_soon(other.begin, gathers)
    one.loop.call_soon(lambda: one.log.append(asyncio.get_running_loop() is one.loop))
    one.loop.turn()

    assert (one.log, other.log) == ([True], ["call a", "call b", "call c"])
    other.loop.shut()
