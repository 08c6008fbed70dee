"""Looking at the database for all who watch runs in this process: by one query after each piece of news."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol
from weakref import WeakSet

from amends.persistence.records import RunRow
from amends.sagas import checked
from amends.sagas.attributes import AttributeValue, searched
from amends.sagas.errors import CoordinatorClosed, RunNotFound
from amends.sagas.handle import RunInfo
from amends.sagas.listing import info_of, moment, status_of
from amends.sagas.repeating import Repeating
from amends.sagas.states import Status
from amends.sagas.watch import Wanted, Watch, change_of, looks_the_same

PAUSE = 0.02
"""Seconds between two looks: news that comes between them is looked at once."""
REMEMBERED = 10_000
"""Of so many runs it is remembered how they were seen last."""


class Seen(Protocol):
    """Where to look; `persistence/database.py` is it."""

    def now(self) -> int:
        """Give milliseconds of database time."""

    def moment(self) -> str:
        """Give what is seen now."""

    def changed(self, since: str, ids: Sequence[str] | None = None) -> tuple[list[RunRow], str]:
        """Give the runs that were changed since a moment, and the moment of the answer."""

    def seen(self, ids: Sequence[str]) -> list[RunRow]:
        """Give runs as they are."""


def watched(
    status: Status | str | None, saga: str | None, attributes: Mapping[str, AttributeValue] | None
) -> Wanted:
    """Say which runs are to be watched. Raises `InputInvalid`."""
    wanted = None if status is None else status_of(status)
    return Wanted(
        None, wanted, checked.storable(saga, "the saga's name"), searched(attributes, "attributes=")
    )


class Watching:
    """Feeds the watches of a process; holds none of them, so that one that is dropped is gone.

    `read` calls a function of the database in a thread. Looks follow one another, so that no watch sees a run
    go back to what it was.
    """

    def __init__(self, database: Seen, read: Callable[..., Awaitable[Any]]) -> None:
        self._database = database
        self._read = read
        self._loop = asyncio.get_running_loop()
        self._watches: WeakSet[Watch] = WeakSet()
        self._looks = Repeating(self._look)
        self._moment: str | None = None
        self._last: OrderedDict[str, RunInfo] = OrderedDict()
        self._next = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def watched(self) -> int:
        """How many watches there are."""
        return len(self._watches)

    def watch(self, wanted: Wanted) -> Watch:
        """Watch from now on."""
        watch = Watch(wanted)
        self._watches.add(watch)
        self._looks.ask()
        return watch

    def news(self) -> None:
        """Look soon, if somebody watches: something may have changed."""
        if self._watches and self._timer is None and not self._closed:
            self._timer = self._loop.call_at(max(self._next, self._loop.time()), self._due)

    async def close(self) -> None:
        """Look no more, and tell all who watch."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        await self._looks.close()
        for watch in list(self._watches):
            watch.fail(CoordinatorClosed("the coordinator was closed while somebody watched runs through it"))

    def _due(self) -> None:
        self._timer = None
        self._next = self._loop.time() + PAUSE
        self._looks.ask()

    async def _look(self) -> None:
        watches = list(self._watches)
        if not watches:
            self._moment = None
            self._last.clear()
            return
        if self._moment is None:
            self._moment = await self._read(self._database.moment)
        else:
            await self._look_since(self._moment, [watch for watch in watches if watch.begun])
        fresh = [watch for watch in watches if not watch.begun]
        await self._begin(fresh, watches)

    async def _look_since(self, before: str, begun: Sequence[Watch]) -> None:
        """Tell what was changed since the last look; of single runs alone, if nobody watches more."""
        if not begun:
            return
        ids = [watch.wanted.run_id for watch in begun if watch.wanted.run_id is not None]
        rows, self._moment = await self._read(
            self._database.changed, before, ids if len(ids) == len(begun) else None
        )
        for row in rows:
            self._tell(row, begun)

    async def _begin(self, fresh: Sequence[Watch], watches: Sequence[Watch]) -> None:
        """Tell those who have just begun to watch one run how that is."""
        ids = [watch.wanted.run_id for watch in fresh if watch.wanted.run_id is not None]
        rows: list[RunRow] = await self._read(self._database.seen, ids) if ids else []
        there = set()
        for row in rows:
            there.add(row.id)
            self._tell(row, [watch for watch in watches if watch.begun])
            info, at = self._last[row.id], moment(self._database.now())
            for watch in fresh:
                if watch.wanted.run_id == row.id:
                    watch.offer(change_of(info, None, at))
        for watch in fresh:
            watch.begin()
            run_id = watch.wanted.run_id
            if run_id is not None and run_id not in there:
                watch.fail(RunNotFound(f"there is no run {run_id!r} in this database"))

    def _tell(self, row: RunRow, watches: Sequence[Watch]) -> None:
        now = self._database.now()
        info, before = info_of(row, now), self._last.pop(row.id, None)
        self._last[row.id] = info
        if len(self._last) > REMEMBERED:
            self._last.popitem(last=False)
        if before is not None and looks_the_same(info, before):
            return
        for watch in watches:
            if watch.wanted.admits(info):
                watch.offer(change_of(info, before, moment(now)))
