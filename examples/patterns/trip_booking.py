"""A car, a hotel and a flight: the whole trip is booked, or nothing of it is left.

Whatever fails, what was booked before is cancelled, the latest first. A call that isn't answered may have
booked all the same, so it is cancelled too.
"""

import logging
from contextlib import suppress
from datetime import timedelta
from tempfile import TemporaryDirectory

from amends.sagas import Coordinator, NoEffect, Retry, RunFailed, Undo, current_step, saga, step

TWICE = Retry(attempts=2, wait=timedelta(milliseconds=20))


class SoldOut(NoEffect):
    """There is none left, and so nothing was booked."""


class Agency:
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

    def book(self, what: str, city: str) -> str:
        """Book under the step's key; the same key again books nothing more."""
        key = current_step().idempotency_key
        if what == self.sold_out or key in self.cancelled:
            self.told.append(f"no {what} in {city}")
            raise SoldOut(what)
        if key not in self.booked:
            self.booked[key] = what
            self.told.append(f"booked the {what} in {city}")
        if what == self.silent:
            raise ConnectionError(f"no answer about the {what}")
        return f"{what} in {city}"

    def cancel(self, undo: Undo[str]) -> None:
        """Cancel what was booked under a key, if anything was, and refuse the key from now on."""
        self.cancelled.add(undo.forward_key)
        what = self.booked.pop(undo.forward_key, None)
        if what is not None:
            self.told.append(f"cancelled the {what}")


def agency() -> Agency:
    """Give the world that the coordinator was opened with."""
    found: Agency = current_step().resources
    return found


@step(retry=TWICE)
async def book_car(city: str) -> str:
    """Rent a car."""
    return agency().book("car", city)


@book_car.compensation
async def cancel_car(undo: Undo[str], city: str) -> None:
    """Give the car back, whether or not it was rented."""
    agency().cancel(undo)


@step(retry=TWICE)
async def book_hotel(city: str) -> str:
    """Take a room."""
    return agency().book("hotel", city)


@book_hotel.compensation
async def cancel_hotel(undo: Undo[str], city: str) -> None:
    """Give the room up, whether or not it was taken."""
    agency().cancel(undo)


@step(retry=TWICE)
async def book_flight(city: str) -> str:
    """Take a seat."""
    return agency().book("flight", city)


@book_flight.compensation
async def cancel_flight(undo: Undo[str], city: str) -> None:
    """Give the seat up, whether or not it was taken."""
    agency().cancel(undo)


@saga
async def book_trip(city: str) -> list[str]:
    """Book all three, one after the other."""
    return [await book_car(city), await book_hotel(city), await book_flight(city)]


def show(title: str, world: Agency) -> None:
    """Book a trip in this world, and print what happened."""
    with (
        TemporaryDirectory() as folder,
        Coordinator.sync(f"sqlite:///{folder}/trips.db", resources=world) as coordinator,
    ):
        run = coordinator.start(book_trip, "Lisbon", id="trip-1")
        with suppress(RunFailed):
            run.result(timeout=30)
        print(f"{title}: {run.status()}")
    print("".join(f"  {line}\n" for line in world.told), end="")
    print(f"  what stands: {', '.join(world.snapshot()) or 'nothing'}")


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    show("all can be had", Agency())
    show("the car is sold out", Agency(sold_out="car"))
    show("the hotel is sold out", Agency(sold_out="hotel"))
    show("the flight is sold out", Agency(sold_out="flight"))
    show("the flight is booked, and the answer lost", Agency(silent="flight"))
