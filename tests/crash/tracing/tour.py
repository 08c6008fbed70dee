"""A run with everything that a trace can show: steps, a child run, an agent, a wait, a failure, undoing.

Imported by the children that are killed, not by the tests: what is defined here stays out of their process.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from amends.agents import Agent, ScriptedModel, ToolCall, tool
from amends.sagas import Retry, Undo, approval, current_step, saga, step
from tests.crash.participant import Participant

QUICK = timedelta(seconds=5)
SOON = timedelta(milliseconds=20)
AGAIN = Retry(attempts=8, wait=SOON)
STUBBORN = Retry(attempts=50, wait=SOON)


def world() -> Participant:
    found: Participant = current_step().resources
    return found


async def instrumented(name: str) -> None:
    """Do what instrumented libraries do: make a span below the attempt's, and have it exported at once."""
    trace.get_current_span().set_attribute("shop.item", name)
    with trace.get_tracer("shop").start_as_current_span(f"prepare {name}"):
        pass
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        await asyncio.to_thread(provider.force_flush)


@step(name="tour_book", retry=AGAIN, timeout=QUICK)
async def book(name: str) -> str:
    await instrumented(name)
    return await world().apply(name)


@book.compensation(name="tour_unbook", retry=STUBBORN)
async def unbook(undo: Undo[str], name: str) -> None:
    await instrumented(name)
    await world().undo(name, undo)


@step(name="tour_charge", retry=Retry(attempts=3, wait=SOON), timeout=QUICK)
async def charge(name: str) -> str:
    await instrumented(name)
    return await world().apply(name)


@charge.compensation(name="tour_refund", retry=STUBBORN)
async def refund(undo: Undo[str], name: str) -> None:
    await world().undo(name, undo)


@tool(name="tour_stamp", retry=AGAIN, timeout=QUICK)
async def stamp(what: str) -> str:
    """Stamp something."""
    await instrumented(what)
    return await world().apply(what)


@stamp.compensation(name="tour_unstamp", retry=STUBBORN)
async def unstamp(undo: Undo[str], what: str) -> None:
    await world().undo(what, undo)


CLERK = Agent(
    "clerk",
    model=ScriptedModel([ToolCall("c1", "tour_stamp", '{"what": "passport"}'), "It is stamped."], by="turn"),
    instructions="You are the clerk.",
    tools=[stamp],
    retry=AGAIN,
)


@saga(name="tour_leg")
async def leg(name: str) -> str:
    return await book(name)


@saga(name="tour")
async def tour() -> None:
    """Book, ask a person, and fail: two bookings and a stamp are undone."""
    await book("hotel")
    await leg("flight")
    await CLERK("Stamp my passport.")
    await approval(title="Go?")
    await charge("car")
