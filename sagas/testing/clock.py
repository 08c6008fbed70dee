"""A clock for tests: it stands still until it is moved."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from amends.sagas.coordinator import Coordinator
    from amends.sagas.sync import SyncCoordinator

BEGINNING = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
MILLISECOND = dt.timedelta(milliseconds=1)
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class VirtualClock:
    """A clock to be given to `Coordinator(url, clock=...)`; it stands still until it is moved.

    It begins at `start`, an aware `datetime` (the first second of 2030, left out). Moving it wakes nobody:
    call `run_until_idle()` afterwards, or let `run` (`run_sync`) do both, so that days of sleep pass at once.

    >>> clock = VirtualClock()
    >>> async with Coordinator(url, clock=clock) as coordinator:
    ...     run = await coordinator.start(dunning, "Ada")
    ...     await clock.run(coordinator)
    ...     assert await run.status() == "completed"
    """

    def __init__(self, start: dt.datetime = BEGINNING) -> None:
        self._ms = _milliseconds(start)

    def __call__(self) -> int:
        """Give the time in milliseconds since the epoch."""
        return self._ms

    def __repr__(self) -> str:
        return f"<VirtualClock {self.now:%Y-%m-%d %H:%M:%S.%f}>"

    @property
    def now(self) -> dt.datetime:
        """The time: aware, UTC."""
        return EPOCH + self._ms * MILLISECOND

    def advance(self, by: dt.timedelta) -> None:
        """Move the clock forward. Raises `ValueError` for a step back."""
        self.move_to(self.now + by)

    def move_to(self, when: dt.datetime) -> None:
        """Move the clock to a moment, an aware `datetime`.

        Raises `ValueError` for a naive or an earlier one.
        """
        moment = _milliseconds(when)
        if moment < self._ms:
            raise ValueError(f"a clock doesn't go back: it is {self.now}, and {when} is before that")
        self._ms = moment

    async def run(self, coordinator: Coordinator, *, until: dt.datetime | None = None) -> None:
        """Drive everything that is due, and move the clock to what is due next, until nothing is.

        With `until`, stop there: what is due later stays asleep, and the clock shows that moment. Schedules
        need it: there is always an occurrence that comes next.
        """
        while self._moved(await coordinator.run_until_idle(), until):
            pass

    def run_sync(self, coordinator: SyncCoordinator, *, until: dt.datetime | None = None) -> None:
        """Do what `run` does, with a blocking coordinator."""
        while self._moved(coordinator.run_until_idle(), until):
            pass

    def _moved(self, due: dt.datetime | None, until: dt.datetime | None) -> bool:
        """Move to the next due moment; tell whether there is one in time."""
        if due is not None and (until is None or due <= until):
            self.move_to(max(due, self.now))
            return True
        if until is not None and until > self.now:
            self.move_to(until)
        return False


def _milliseconds(when: dt.datetime) -> int:
    if when.tzinfo is None:
        raise ValueError(f"{when!r} needs a time zone: whose {when:%H:%M} is it?")
    return -((EPOCH - when) // MILLISECOND)
