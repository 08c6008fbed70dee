"""Sagas for the tests of schedules and queues; run as a program, it puts schedules of them."""

import os
import sys
from datetime import timedelta

from amends.sagas import Coordinator, current_run, saga


@saga
async def report(name: str) -> str:
    return f"{name} at {current_run().scheduled_for}"


@saga
async def pulse() -> None: ...


@saga(queue="mail")
async def post(letter: str) -> str:
    return letter


if __name__ == "__main__":
    with Coordinator.sync(os.environ["AMENDS_DATABASE_URL"], work=False) as coordinator:
        put = coordinator.schedules.put
        put("nightly", report, "sales", cron="0 9 * * 1-5", timezone="Europe/Berlin")
        put("pulse", pulse, every=timedelta(seconds=int(sys.argv[1])))
