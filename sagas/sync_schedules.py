"""The blocking twin of `Schedules`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable
from typing import Any, TypeVarTuple

from amends.sagas.schedule_view import Schedule
from amends.sagas.schedules import Schedules
from amends.sagas.sync import Blocking, LoopThread, SyncRun
from amends.sagas.ticks import CatchUp, Overlap

Ts = TypeVarTuple("Ts")


class SyncSchedules:
    """The schedules of a coordinator's database, with the methods of `Schedules`, blocking."""

    def __init__(self, thread: LoopThread, schedules: Schedules) -> None:
        self._thread = thread
        self._schedules = schedules

    def put(
        self,
        id: str,
        saga: Callable[[*Ts], Awaitable[Any]],
        *args: *Ts,
        cron: str | None = None,
        every: dt.timedelta | None = None,
        timezone: str | None = None,
        catch_up: CatchUp | str = CatchUp.LATEST,
        overlap: Overlap | str = Overlap.ALLOW,
        start_at: dt.datetime | None = None,
        paused: bool = False,
    ) -> Schedule:
        """Make a schedule, or replace it; see `Schedules.put`."""
        return self._thread.call(
            self._schedules.put(
                id,
                saga,
                *args,
                cron=cron,
                every=every,
                timezone=timezone,
                catch_up=catch_up,
                overlap=overlap,
                start_at=start_at,
                paused=paused,
            )
        )

    def trigger(self, id: str, *, by: str = "api") -> SyncRun[Any]:
        """Start a run now, beside the plan; see `Schedules.trigger`."""
        return SyncRun(self._thread, self._thread.call(self._schedules.trigger(id, by=by)))

    list = Blocking(Schedules.list)
    get = Blocking(Schedules.get)
    pause = Blocking(Schedules.pause)
    resume = Blocking(Schedules.resume)
    delete = Blocking(Schedules.delete)
    audit = Blocking(Schedules.audit)

    def _reach(self) -> tuple[LoopThread, Schedules]:
        return self._thread, self._schedules
