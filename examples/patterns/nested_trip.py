"""A trip of two cities, each city a child run: booked by itself, and undone as a unit with the trip.

A city that has been booked is a run that has ended. When the trip's last step fails, both cities are undone
all the same, the latest first. A trip that was booked can be undone later; a plan says what that means.
"""

import logging
from contextlib import suppress
from datetime import timedelta
from tempfile import TemporaryDirectory

from amends.sagas import Coordinator, NoEffect, Retry, RunFailed, Undo, current_step, saga, step

TWICE = Retry(attempts=2, wait=timedelta(milliseconds=20))


class SoldOut(NoEffect):
    """There is none left, and so nothing was booked."""


class Cities:
    """The world: what is booked, by the key under which it was asked for, and `told`: what happened.

    `sold_out` names what can't be had, `silent` what is booked without an answer.
    """

    def __init__(self, *, sold_out: str = "", silent: str = "") -> None:
        self.sold_out, self.silent = sold_out, silent
        self.reset()

    def reset(self) -> None:
        """Bring everything back to the beginning."""
        self.booked: dict[str, str] = {}
        self.cancelled: set[str] = set()
        self.told: list[str] = []

    def snapshot(self) -> list[str]:
        """Tell what stands."""
        return sorted(self.booked.values())

    def book(self, what: str) -> str:
        """Book under the step's key; the same key again books nothing more."""
        key = current_step().idempotency_key
        if what == self.sold_out or key in self.cancelled:
            self.told.append(f"no {what}")
            raise SoldOut(what)
        if key not in self.booked:
            self.booked[key] = what
            self.told.append(f"booked the {what}")
        if what == self.silent:
            raise ConnectionError(f"no answer about the {what}")
        return what

    def cancel(self, undo: Undo[str]) -> None:
        """Cancel what was booked under a key, if anything was, and refuse the key from now on."""
        self.cancelled.add(undo.forward_key)
        what = self.booked.pop(undo.forward_key, None)
        if what is not None:
            self.told.append(f"cancelled the {what}")


def cities() -> Cities:
    """Give the world that the coordinator was opened with."""
    found: Cities = current_step().resources
    return found


@step(retry=TWICE)
async def reserve_room(city: str) -> str:
    """Take a room."""
    return cities().book(f"hotel in {city}")


@reserve_room.compensation
async def give_up_room(undo: Undo[str], city: str) -> None:
    """Give the room up, whether or not it was taken."""
    cities().cancel(undo)


@step(retry=TWICE)
async def reserve_table(city: str) -> str:
    """Take a table."""
    return cities().book(f"dinner in {city}")


@reserve_table.compensation
async def give_up_table(undo: Undo[str], city: str) -> None:
    """Give the table up, whether or not it was taken."""
    cities().cancel(undo)


@step(retry=TWICE)
async def book_flight_home(city: str) -> str:
    """Take a seat."""
    return cities().book(f"flight home from {city}")


@book_flight_home.compensation
async def cancel_flight_home(undo: Undo[str], city: str) -> None:
    """Give the seat up, whether or not it was taken."""
    cities().cancel(undo)


@saga
async def stay(city: str) -> list[str]:
    """Book what one city takes."""
    return [await reserve_room(city), await reserve_table(city)]


@saga
async def travel(first: str, last: str) -> list[str]:
    """Book both cities, each as a run of its own, and the flight home."""
    booked = await stay(first) + await stay(last)
    return [*booked, await book_flight_home(last)]


def show(title: str, world: Cities, *, undone: bool = False) -> None:
    """Book a trip in this world, and print what happened; with `undone`, undo it then by its plan."""
    with (
        TemporaryDirectory() as folder,
        Coordinator.sync(f"sqlite:///{folder}/trips.db", resources=world) as coordinator,
    ):
        run = coordinator.start(travel, "Lisbon", "Porto", id="trip-1")
        with suppress(RunFailed):
            run.result(timeout=30)
        plan = []
        if undone:
            plan = str(coordinator.undo_plan(run.id)).splitlines()
            coordinator.undo(run.id, by="ann", reason="she fell ill")
            with suppress(RunFailed):
                run.result(timeout=30)
        below = ", ".join(f"{city.id} {city.status}" for city in reversed(coordinator.list(parent=run.id)))
        print(f"{title}: {run.status()}")
    print("".join(f"  {line}\n" for line in (*plan, *world.told)), end="")
    print(f"  the cities: {below}")
    print(f"  what stands: {', '.join(world.snapshot()) or 'nothing'}")


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    show("all can be had", Cities())
    show("dinner in Porto is sold out", Cities(sold_out="dinner in Porto"))
    show("the flight home is sold out", Cities(sold_out="flight home from Porto"))
    show("the flight home is booked, and the answer lost", Cities(silent="flight home from Porto"))
    show("booked, and undone later", Cities(), undone=True)
