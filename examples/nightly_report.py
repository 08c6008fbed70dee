"""A report at half past two every night, by the clock in Berlin; three nights pass at once."""

import asyncio
import datetime as dt
import tempfile
from zoneinfo import ZoneInfo

from amends.sagas import Coordinator, current_run, saga, step
from amends.sagas.testing import VirtualClock

BERLIN = "Europe/Berlin"


@step
async def count_orders(day: dt.date) -> int:
    return 40 + day.day


@step
async def send(day: dt.date, orders: int) -> None:
    print(f"report of {day:%A}: {orders} orders")


@saga
async def report() -> None:
    """Tell of the day before the night for which the run was planned, however late it is."""
    night = current_run().scheduled_for
    if night is None:
        return
    day = night.astimezone(ZoneInfo(BERLIN)).date() - dt.timedelta(days=1)
    await send(day, await count_orders(day))


async def main() -> None:
    """Let the nights pass; for the last of them the worker comes two hours late."""
    clock = VirtualClock(dt.datetime(2026, 10, 23, 12, tzinfo=dt.UTC))
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/reports.db"
        async with Coordinator(url, clock=clock) as coordinator:
            await coordinator.schedules.put("report", report, cron="30 2 * * *", timezone=BERLIN)
            await clock.run(coordinator, until=clock.now + dt.timedelta(days=2))
        clock.advance(dt.timedelta(hours=16))
        async with Coordinator(url, clock=clock) as coordinator:
            await coordinator.run_until_idle()
            for run in reversed(await coordinator.list()):
                print(f"{run.id}, started {run.created_at:%H:%M}, {run.status}")


if __name__ == "__main__":
    asyncio.run(main())

# ruff: noqa: D103 - the steps say what they do
