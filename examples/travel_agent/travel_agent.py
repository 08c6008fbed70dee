"""A travel agent books a flight, a hotel and a car, and waits for the traveller's word, for days if need be.

If that is no, or if nobody answers in a week, all of it is cancelled. Days pass at once, by a clock that is
moved; each day is another coordinator, as if the program had been started anew. The model is a local server
that answers by a script, or any real one: `OPENAI_BASE_URL`, `OPENAI_API_KEY`, `AMENDS_EXAMPLE_MODEL`.
"""

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import BaseModel

from amends.agents import Agent, ApprovalPolicy, Budget, Model, OpenAIModel, tool
from amends.sagas import Coordinator, Run, RunFailed, Undo, current_step
from amends.sagas.testing import VirtualClock

HERE = Path(__file__).resolve().parent
DAY = timedelta(days=1)
TASK = "Three nights in Lisbon for one person, with a car."


class Trip(BaseModel):
    """What the traveller is asked to accept; `price` is in euros."""

    city: str
    nights: int
    price: int
    words: str


class Agency:
    """The world: what is booked, by the key under which it was asked for, and `told`: what happened."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Bring everything back to the beginning."""
        self.booked: dict[str, str] = {}
        self.cancelled: set[str] = set()
        self.told: list[str] = []

    def snapshot(self) -> list[str]:
        """Tell what stands."""
        return sorted(self.booked.values())

    def book(self, what: str, price: int) -> str:
        """Book under the step's key; the same key again books nothing more."""
        key = current_step().idempotency_key
        if key not in self.booked and key not in self.cancelled:
            self.booked[key] = what
            self.told.append(f"booked the {what}")
        return f"{what}: {price} euros"

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


@tool
async def reserve_flight(city: str) -> str:
    """Book a flight there and back."""
    return agency().book("flight", 380)


@reserve_flight.compensation
async def release_flight(undo: Undo[str], city: str) -> None:
    """Give the seat up."""
    agency().cancel(undo)


@tool
async def reserve_hotel(city: str, nights: int) -> str:
    """Book a room."""
    return agency().book("hotel", 150 * nights)


@reserve_hotel.compensation
async def release_hotel(undo: Undo[str], city: str, nights: int) -> None:
    """Give the room up."""
    agency().cancel(undo)


@tool
async def reserve_car(city: str) -> str:
    """Rent a car for the whole stay."""
    return agency().book("car", 180)


@reserve_car.compensation
async def release_car(undo: Undo[str], city: str) -> None:
    """Give the car back."""
    agency().cancel(undo)


def travel_agent(model: Model) -> Agent[Trip]:
    """Give the agent, with the model that it asks."""
    return Agent(
        "travel_agent",
        model=model,
        instructions="Book what the traveller asks for, each thing once. Then say what it is, and the price.",
        tools=[reserve_flight, reserve_hotel, reserve_car],
        output_type=Trip,
        budget=Budget(turns=10, tool_calls=10),
        review=ApprovalPolicy(title="Keep the trip?", timeout=7 * DAY, remind_every=2 * DAY, edit=False),
    )


@contextmanager
def chosen_model() -> Iterator[Model]:
    """Give the model that the environment names, or one that answers by a script, inside the block."""
    name = os.environ.get("AMENDS_EXAMPLE_MODEL", "gpt-5-mini")
    url, key = os.environ.get("OPENAI_BASE_URL") or None, os.environ.get("OPENAI_API_KEY") or None
    if url or key:
        yield OpenAIModel(name, base_url=url, api_key=key)
        return
    server_py, script = HERE.parent / "model_server" / "server.py", HERE / "script.json"
    command = [sys.executable, str(server_py), "--script", str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            address = (server.stdout.readline() if server.stdout else "").split()[-1]
            yield OpenAIModel(name, base_url=address)
        finally:
            server.kill()


async def show(title: str, agent: Agent[Trip], days: int, *, keep: bool | None) -> None:
    """Book a trip, answer so many days later (not at all with None), and print what happened."""
    world, clock = Agency(), VirtualClock()
    with TemporaryDirectory(prefix="amends-travel-") as folder:
        database = f"sqlite:///{folder}/travel.db"
        async with Coordinator(database, resources=world, clock=clock) as coordinator:
            await coordinator.start(agent, TASK, id="trip-1")
            await coordinator.run_until_idle()
        for _ in range(days):
            async with Coordinator(database, resources=world, clock=clock) as coordinator:
                await clock.run(coordinator, until=clock.now + DAY)
        async with Coordinator(database, resources=world, clock=clock) as coordinator:
            for asked in await coordinator.approvals():
                if keep is not None:
                    await coordinator.decide(asked.id, approved=keep, by="Ada", reason="I have to work")
            await clock.run(coordinator)
            print(f"{title}: {await ending(await coordinator.get('trip-1'))}")
    print("".join(f"  {line}\n" for line in world.told), end="")
    print(f"  what stands: {', '.join(world.snapshot()) or 'nothing'}")


async def ending(run: Run[Trip]) -> str:
    """Say how a run ended."""
    try:
        return f"kept, {await run.result(30)}"
    except RunFailed as error:
        return f"{error.status}, because {error.error}"


async def main() -> None:
    """Show the ways that a trip can go."""
    with chosen_model() as model:
        agent = travel_agent(model)
        await show("yes on the same day", agent, 0, keep=True)
        await show("no after two days", agent, 2, keep=False)
        await show("no answer for a week", agent, 7, keep=None)


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    asyncio.run(main())
