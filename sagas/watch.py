"""What somebody sees who watches runs: changes, one after the other."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

from amends.persistence.attribute_records import Searched
from amends.sagas.attributes import AttributeValue, Progress, searched
from amends.sagas.handle import RunInfo
from amends.sagas.states import Status


@dataclass(frozen=True, slots=True)
class Change:
    """A run as it is now, and the status that it had before, where that is known.

    `at` is when it was seen. What else it shows is as in `RunInfo`.
    """

    run_id: str
    saga: str
    before: Status | None
    status: Status
    at: dt.datetime
    cause: str | None = None
    waits_for: str | None = None
    attributes: Mapping[str, AttributeValue] | None = None
    progress: Progress | None = None

    @property
    def ended(self) -> bool:
        """Tell whether the run has ended; a parked one hasn't."""
        return self.status.ended


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which runs somebody watches: one by its id, or all that have these properties."""

    run_id: str | None = None
    status: Status | None = None
    saga: str | None = None
    attributes: tuple[Searched, ...] = ()

    def admits(self, info: RunInfo) -> bool:
        """Tell whether a run, as it is now, is wanted."""
        if self.run_id is not None:
            return info.id == self.run_id
        if self.status not in (None, info.status) or self.saga not in (None, info.saga):
            return False
        if not self.attributes:
            return True
        names = {one.name for one in self.attributes}
        shown = {name: value for name, value in info.attributes.items() if name in names}
        return set(self.attributes) == set(searched(shown, "attributes"))


class Watch:
    """An async iterator of changes, of one run or of many; leave the loop, or drop it, to stop watching.

    What changes while nobody asks is kept, the changes of one run merged into one. That of one run ends with
    the run.
    Raises `RunNotFound` where there is no such run, `CoordinatorClosed` when the coordinator closes.
    """

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self._begun = asyncio.Event()
        self._pending: dict[str, Change] = {}
        self._error: Exception | None = None
        self._over = False
        self._event = asyncio.Event()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        """Give the next change; wait for it."""
        while not self._over:
            if self._pending:
                change = self._pending.pop(next(iter(self._pending)))
                self._over = change.ended and self.wanted.run_id is not None
                return change
            if self._error is not None:
                raise self._error
            self._event.clear()
            await self._event.wait()
        raise StopAsyncIteration

    async def ready(self) -> None:
        """Wait until the watching has begun: whatever is committed from then on is seen.

        Before that it may be missed, but for what the first change of a single run shows.
        """
        await self._begun.wait()
        if self._error is not None:
            raise self._error

    @property
    def begun(self) -> bool:
        """Tell whether the watching has begun."""
        return self._begun.is_set()

    def begin(self) -> None:
        """Note that it has begun."""
        self._begun.set()

    def offer(self, change: Change) -> None:
        """Take a change."""
        earlier = self._pending.pop(change.run_id, None)
        self._pending[change.run_id] = change if earlier is None else replace(change, before=earlier.before)
        self._event.set()

    def fail(self, error: Exception) -> None:
        """End it by an error, behind the changes that are there."""
        self._error = error
        self._event.set()
        self._begun.set()


def change_of(info: RunInfo, before: RunInfo | None, at: dt.datetime) -> Change:
    """Give the change from one state of a run, where it is known, to another."""
    return Change(
        info.id,
        info.saga,
        None if before is None else before.status,
        info.status,
        at,
        info.cause,
        info.waits_for,
        info.attributes,
        info.progress,
    )


def looks_the_same(one: RunInfo, other: RunInfo) -> bool:
    """Tell whether nobody could tell two states of a run apart."""
    seen = [(i.status, i.cause, i.waits_for, i.attributes, i.progress) for i in (one, other)]
    return seen[0] == seen[1]
