"""Running tests on an event loop, and sagas on a coordinator."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

import pytest

from amends.sagas import Coordinator, Retry, RunFailed, RunParked, Status
from amends.sagas.handle import Run
from amends.sagas.journal import Kind

P = ParamSpec("P")
T = TypeVar("T")

AT_ONCE = Retry(attempts=3, wait=dt.timedelta(0))
ONCE = Retry(attempts=1)
LONGEST = 60


def on_a_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Make an async test one that pytest can call; it takes at most a minute."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), LONGEST))

    return run


class Clock:
    """A clock that stands still until it is moved; milliseconds."""

    def __init__(self, now: int = 1_700_000_000_000) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now

    def move(self, by: dt.timedelta) -> None:
        """Let time pass."""
        self.now += round(by / dt.timedelta(milliseconds=1))


async def kinds(run: Run[Any]) -> list[Kind]:
    """Give the kinds of a run's journal entries."""
    return [entry.kind for entry in await run.journal()]


async def recorded(run: Run[Any], *wanted: Kind) -> Kind:
    """Wait until an entry of one of these kinds is in a run's journal; give its kind."""
    while True:
        found = [kind for kind in await kinds(run) if kind in wanted]
        if found:
            return found[0]
        await asyncio.sleep(0.01)


async def failure(run: Run[Any]) -> RunFailed:
    """Give the error with which a run ends."""
    with pytest.raises(RunFailed) as caught:
        await run.result(LONGEST)
    return caught.value


async def parked(run: Run[Any]) -> RunParked:
    """Give the error of a run that waits for a person."""
    with pytest.raises(RunParked) as caught:
        await run.result(LONGEST)
    return caught.value


async def ended(run: Run[Any]) -> Status:
    """Wait for a run's end and give its status."""
    with contextlib.suppress(RunFailed):
        await run.result(LONGEST)
    return await run.status()


async def result_of(url: str, saga: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Open a coordinator, run a saga and give its result."""
    async with Coordinator(url, **options) as coordinator:
        return await (await coordinator.start(saga, *args)).result(LONGEST)


class Gate:
    """Something that a step waits at until the test opens it; `reached` tells that a step is there."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()

    async def wait(self) -> None:
        """Wait at the gate."""
        self.reached.set()
        await self.opened.wait()
