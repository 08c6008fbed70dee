"""Work that is asked for many times and done at most once at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from amends.sagas.errors import AmendsError

log = logging.getLogger("amends")


class Repeating:
    """Runs an async function when asked; asked again meanwhile, it runs once more afterwards."""

    def __init__(self, function: Callable[[], Awaitable[None]]) -> None:
        self._function = function
        self._again = False
        self._closed = False
        self._task: asyncio.Task[None] | None = None

    def ask(self) -> None:
        """Ask for it to be done."""
        if self._closed:
            return
        self._again = True
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def ask_and_wait(self) -> None:
        """Ask for it to be done, and wait until it was."""
        self.ask()
        if self._task is not None:
            await asyncio.shield(self._task)

    async def close(self) -> None:
        """Don't do it any more; wait for it where it is being done."""
        self._closed, self._again = True, False
        if self._task is not None:
            await asyncio.wait((self._task,), timeout=5)

    async def _run(self) -> None:
        try:
            while self._again:
                self._again = False
                await self._function()
        except AmendsError as problem:
            log.warning("%s; it is tried again later", problem)
        except Exception:
            log.exception("amends: a look at the database failed; it is tried again later")
        finally:
            self._task = None
