"""A run for each device: three readings in a row out of range are an alert, silence ends in a summary.

`python devices.py DATABASE [--events 2000] [--devices 100] [--seed 1] [--silence 2]` sends the events, works
on them until each device has its summary, and compares what is in the tables with the events (exit code 1
where they differ). Killed and started again it sends all of them again: each counts once.
"""

import argparse
import asyncio
import random
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta

from pydantic import BaseModel
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
)

from amends.sagas import Coordinator, continue_as_new, receive, saga, transaction
from amends.sagas.garbage import collect_less_often

HIGHEST = 80
STRIKES = 3
FRESH_AFTER = 200
"""After so many events a body begins anew, so that its replays stay short."""
AT_ONCE = 1_000
LOOK_EVERY = 0.1

METADATA = MetaData()
ALERTS = Table(
    "alerts",
    METADATA,
    Column("number", Integer, primary_key=True),
    Column("device", Text, nullable=False),
    Column("at", Integer, nullable=False, comment="which of the device's events was the last straw"),
)
SUMMARIES = Table(
    "summaries",
    METADATA,
    Column("device", Text, primary_key=True),
    Column("events", Integer, nullable=False),
    Column("alerts", Integer, nullable=False),
    Column("highest", Integer, nullable=False),
)


class Event(BaseModel):
    """One reading of a device."""

    id: str
    device: str
    celsius: int


class Seen(BaseModel):
    """What a device's run knows: how much it has seen, and how many readings in a row were out of range."""

    events: int = 0
    alerts: int = 0
    highest: int = 0
    strikes: int = 0

    def take(self, celsius: int) -> bool:
        """Take in a reading; tell whether it calls for an alert."""
        self.events += 1
        self.highest = max(self.highest, celsius)
        self.strikes = self.strikes + 1 if celsius > HIGHEST else 0
        if self.strikes < STRIKES:
            return False
        self.strikes = 0
        self.alerts += 1
        return True


@transaction
def alert(db: Connection, device: str, at: int) -> None:
    """Tell of a device that is too hot: a row, which commits together with the step's outcome."""
    db.execute(insert(ALERTS).values(device=device, at=at))


@transaction
def summarise(db: Connection, device: str, seen: Seen) -> None:
    """Write what was seen of a device, in place of what was written before."""
    db.execute(delete(SUMMARIES).where(SUMMARIES.c.device == device))
    row = {"device": device, "events": seen.events, "alerts": seen.alerts, "highest": seen.highest}
    db.execute(insert(SUMMARIES).values(row))


@saga
async def watch_device(device: str, silence: timedelta, seen: Seen) -> None:
    """Watch a device for ever; what comes after a summary goes into the next one."""
    quiet, fresh_at = False, seen.events + FRESH_AFTER
    while True:
        try:
            event = await receive(Event, name="event", timeout=None if quiet else silence)
        except TimeoutError:
            await summarise(device, seen)
            quiet = True
            continue
        quiet = False
        if seen.take(event.celsius):
            await alert(device, seen.events)
        if seen.events >= fresh_at:
            await continue_as_new(device, silence, seen)


def events(number: int, devices: int, seed: int) -> dict[str, list[Event]]:
    """Make up events: by device, in their order. The same seed gives the same ones."""
    dice = random.Random(seed)  # noqa: S311 - no secrets
    made: dict[str, list[Event]] = defaultdict(list)
    for count in range(number):
        device = f"d-{count % devices}"
        hot = dice.random() < 0.3
        celsius = dice.randrange(HIGHEST + 1, 120) if hot else dice.randrange(10, HIGHEST)
        made[device].append(Event(id=f"evt-{count}", device=device, celsius=celsius))
    return made


def expected(made: Mapping[str, Sequence[Event]]) -> tuple[dict[str, Seen], list[tuple[str, int]]]:
    """Tell from the events alone what has to be seen, and which alerts there have to be."""
    summaries = {device: Seen() for device in made}
    alerts = [
        (device, summaries[device].events)
        for device, sequence in made.items()
        for event in sequence
        if summaries[device].take(event.celsius)
    ]
    return summaries, sorted(alerts)


class Sender:
    """Sends events, and tells how far it is, ten times."""

    def __init__(self, coordinator: Coordinator, silence: timedelta, number: int) -> None:
        self._coordinator = coordinator
        self._silence = silence
        self._number = number
        self._sent = 0

    async def send_all(self, made: Mapping[str, Sequence[Event]]) -> None:
        """Send everything: the devices side by side, the events of each one after the other."""
        places = asyncio.Semaphore(AT_ONCE)

        async def one(sequence: Sequence[Event]) -> None:
            async with places:
                for event in sequence:
                    await self._send(event)

        async with asyncio.TaskGroup() as group:
            for sequence in made.values():
                group.create_task(one(sequence))

    async def _send(self, event: Event) -> None:
        """Send an event: the device's first one starts its run, and one that comes again is dropped."""
        await self._coordinator.signal_or_start(
            watch_device,
            event.device,
            self._silence,
            Seen(),
            id=f"device-{event.device}",
            name="event",
            payload=event,
            message_id=event.id,
        )
        before, self._sent = self._sent, self._sent + 1
        if before * 10 // self._number < self._sent * 10 // self._number:
            print(f"devices: {self._sent * 10 // self._number * 10} % sent", flush=True)


def differences(engine: Engine, made: Mapping[str, Sequence[Event]]) -> list[str]:
    """Compare the tables with what the events say."""
    wanted, alerts = expected(made)
    with engine.connect() as db:
        told = sorted((row.device, row.at) for row in db.execute(select(ALERTS)))
        found = {row.device: row for row in db.execute(select(SUMMARIES))}
    wrong = ["the alerts aren't those of the events"] if told != alerts else []
    for device, seen in wanted.items():
        row = found.get(device)
        if row is None or (row.events, row.alerts, row.highest) != (seen.events, seen.alerts, seen.highest):
            wrong.append(f"the summary of {device} is {row} instead of {seen}")
    return wrong


def summed_up(engine: Engine) -> int:
    """Count the events that are in summaries."""
    with engine.connect() as db:
        number: int = db.execute(select(func.coalesce(func.sum(SUMMARIES.c.events), 0))).scalar_one()
    return number


async def main(database: str, made: Mapping[str, Sequence[Event]], silence: timedelta) -> int:
    """Send the events, work until each device has its summary, and give the exit code."""
    number = sum(map(len, made.values()))
    async with Coordinator(database) as coordinator:
        METADATA.create_all(coordinator.engine)
        began = time.perf_counter()
        await Sender(coordinator, silence, number).send_all(made)
        taken = time.perf_counter() - began
        print(f"devices: sent {number} events in {taken:.1f} s: {number / taken:.0f}/s", flush=True)
        # As an outsider would look: other processes may do the work.
        while await asyncio.to_thread(summed_up, coordinator.engine) < number:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_EVERY)
        wrong = differences(coordinator.engine, made)
    print(*wrong, sep="\n", end="\n" if wrong else "")
    print(f"devices: {number} events of {len(made)} devices, {'WRONG' if wrong else 'each counted once'}")
    return 1 if wrong else 0


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database", help="such as sqlite:///devices.db")
    parser.add_argument("--events", type=int, default=2_000, help="how many there are")
    parser.add_argument("--devices", type=int, default=100, help="of how many devices")
    parser.add_argument("--seed", type=int, default=1, help="for the readings")
    parser.add_argument("--silence", type=float, default=2.0, help="seconds after which a summary is due")
    return parser.parse_args()


if __name__ == "__main__":
    given = options()
    collect_less_often()
    happened = events(given.events, given.devices, given.seed)
    sys.exit(asyncio.run(main(given.database, happened, timedelta(seconds=given.silence))))
