import asyncio
import inspect
import signal
import traceback
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from amends.sagas.loop import BodyLoop
from tests.loop.driving import Driven, Refused

ANSWERED = {
    "call_at",
    "call_exception_handler",
    "call_later",
    "call_soon",
    "close",
    "create_future",
    "create_task",
    "default_exception_handler",
    "get_debug",
    "get_exception_handler",
    "get_task_factory",
    "is_closed",
    "is_running",
    "set_debug",
    "time",
}
REFUSED = sorted(
    name
    for name, _ in inspect.getmembers(asyncio.AbstractEventLoop, inspect.isfunction)
    if not name.startswith("_") and name not in ANSWERED
)


@pytest.mark.parametrize("name", REFUSED)
def test_method_that_touches_the_world_is_refused_by_name(name: str) -> None:
    with pytest.raises(Refused, match=f"^{name}$"):
        getattr(Driven().loop, name)("anything", other=1)


def test_every_method_is_either_answered_or_refused() -> None:
    inherited = {name for name in ANSWERED | set(REFUSED) if name in dir(asyncio.AbstractEventLoop)}
    ours = {name for kind in BodyLoop.__mro__[:2] for name in vars(kind)}

    assert inherited <= ours


async def connects() -> None:
    await asyncio.open_connection("localhost", 1)


async def serves() -> None:
    await asyncio.start_server(print, "localhost", 0)


async def uses_a_thread() -> None:
    await asyncio.to_thread(print)


async def runs_a_program() -> None:
    await asyncio.create_subprocess_exec("true")


async def runs_a_shell() -> None:
    await asyncio.create_subprocess_shell("true")


async def resolves() -> None:
    await asyncio.get_running_loop().getaddrinfo("localhost", 1)


async def handles_signals() -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, print)


DOORS: list[tuple[Callable[[], Coroutine[Any, Any, None]], str]] = [
    (connects, "create_connection"),
    (serves, "create_server"),
    (uses_a_thread, "run_in_executor"),
    (runs_a_program, "subprocess_exec"),
    (runs_a_shell, "subprocess_shell"),
    (resolves, "getaddrinfo"),
    (handles_signals, "add_signal_handler"),
]


@pytest.mark.parametrize(("door", "name"), DOORS, ids=[name for _, name in DOORS])
def test_real_io_is_refused_at_the_line_that_asks_for_it(
    door: Callable[[], Coroutine[Any, Any, None]], name: str
) -> None:
    async def body(_run: Driven) -> None:
        await door()

    task = Driven().begin(body)
    error = task.exception()

    assert isinstance(error, Refused)
    assert str(error) == name
    assert door.__code__.co_name in [frame.name for frame in _frames(error)]


def _frames(error: BaseException) -> Any:
    return traceback.extract_tb(error.__traceback__)


def test_asyncio_run_within_a_body_is_refused() -> None:
    async def body(_run: Driven) -> None:
        coroutine = asyncio.sleep(0)
        try:
            asyncio.run(coroutine)
        finally:
            coroutine.close()

    task = Driven().begin(body)

    assert "running event loop" in str(task.exception())
