"""K: many agents whose model answers at once; agents that wait for a person; one long conversation."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from amends.agents import Agent, Finish, ModelAnswer, ModelMessage, ModelRequest, ToolCall, Usage, tool
from amends.sagas import Coordinator, Run, Undo
from benchmarks import contents
from benchmarks.figures import Figure, answer
from benchmarks.scenarios.d_sleepers import settled_memory
from benchmarks.stopwatch import Stopwatch

TURNS = 10
CALLS = 3
WARM_UP = 20
FEWER = 10
"""The long conversation is held against one of so many times fewer turns."""


@dataclass(frozen=True, slots=True)
class Talk:
    """What a conversation took: time, CPU time of all threads, rows, bytes in its journal."""

    seconds: float
    cpu_seconds: float
    rows: int
    stored: int


class AtOnce:
    """A model that calls tools in every turn but the last, and answers without waiting for anything."""

    name = "at-once"

    def __init__(self, turns: int, calls: int) -> None:
        self._turns = turns
        self._calls = calls

    async def answer(self, request: ModelRequest) -> ModelAnswer:
        """Answer by the turn that the transcript has come to."""
        said = sum(isinstance(message, ModelMessage) for message in request.messages)
        if said + 1 == self._turns:
            return ModelAnswer(ModelMessage("done"), Finish.STOP, Usage(100, 20), self.name)
        calls = tuple(
            ToolCall(f"call-{said}-{number}", "benchmark_note", f'{{"number": {number}}}')
            for number in range(self._calls)
        )
        return ModelAnswer(ModelMessage("", calls), Finish.CALLS, Usage(100, 20), self.name)


class Asking:
    """A model that calls a tool which people have to approve."""

    name = "asking"

    async def answer(self, request: ModelRequest) -> ModelAnswer:
        """Call the tool."""
        del request
        call = ToolCall("call", "benchmark_pay", '{"amount": 7}')
        return ModelAnswer(ModelMessage("", (call,)), Finish.CALLS, Usage(100, 20), self.name)


@tool(name="benchmark_note")
async def note(number: int) -> int:
    """Do the least that a tool can do."""
    return number


@note.compensation(name="benchmark_forget")
async def forget(undo: Undo[int], number: int) -> None:
    """Undo it."""


@tool(name="benchmark_pay", approval="always")
async def pay(amount: int) -> int:
    """Wait for a person's word."""
    return amount


BUSY = Agent("busy", model=AtOnce(TURNS, CALLS), tools=[note])
WAITING = Agent("waiting", model=Asking(), tools=[pay])


async def measure(url: str, size: int) -> list[dict[str, Any]]:
    """Run `size` agents at once, let as many wait, and hold conversations of 2.5 × `size` turns."""
    async with Coordinator(url) as coordinator:
        await round_of(coordinator, min(size, WARM_UP))
        with Stopwatch() as busy:
            await round_of(coordinator, size)
        with Stopwatch() as alone:
            await (await coordinator.start(BUSY, "go")).result()
        memory, stored = await waiting(coordinator, url, size)
    long = size * 5 // 2
    short, whole = [await conversation(url, turns) for turns in (long // FEWER, long)]
    turns = size * TURNS
    flushes = [] if alone.flushes is None else [
        Figure("flushes_alone", "one agent alone: flushes per turn", alone.flushes / TURNS, "", "≤ 2")
    ]  # fmt: skip
    return answer(
        Figure("turns_per_second", "turns", turns / busy.seconds, "/s"),
        *busy.costs(turns, "turn", flush_target="≤ 2"),
        *flushes,
        Figure("memory_per_waiting", "worker's memory per waiting agent", memory / size, "B", "0"),
        Figure("database_per_waiting", "database per waiting agent", stored / size, "B"),
        Figure("long_seconds", f"a conversation of {long:,} turns", whole.seconds, "s"),
        Figure(
            "growth", "ten times the turns cost: CPU", whole.cpu_seconds / short.cpu_seconds, "times", "≤ 10"
        ),
        Figure("rows_growth", "ten times the turns cost: rows", whole.rows / short.rows, "times", "≤ 10"),
        Figure(
            "bytes_growth", "ten times the turns cost: bytes", whole.stored / short.stored, "times", "≤ 20"
        ),
    )


async def round_of(coordinator: Coordinator, size: int) -> None:
    """Start `size` agents at once and wait for their answers."""
    runs: list[Run[str]] = await asyncio.gather(*(coordinator.start(BUSY, "go") for _ in range(size)))
    await asyncio.gather(*(run.result() for run in runs))


async def waiting(coordinator: Coordinator, url: str, size: int) -> tuple[int, int]:
    """Let agents wait for people; give bytes of memory, and of the database, that they take."""
    await asyncio.gather(*(coordinator.start(WAITING, "go") for _ in range(WARM_UP)))
    await coordinator.run_until_idle()
    memory, stored = await settled_memory(), contents.size(url)
    await asyncio.gather(*(coordinator.start(WAITING, "go") for _ in range(size)))
    await coordinator.run_until_idle()
    return await settled_memory() - memory, contents.size(url) - stored


async def conversation(url: str, turns: int) -> Talk:
    """Hold a conversation of so many turns, with one call each."""
    talker = Agent(f"talker-{turns}", model=AtOnce(turns, 1), tools=[note])
    rows = contents.rows(url)
    async with Coordinator(url) as coordinator:
        with Stopwatch() as watch:
            run = await coordinator.start(talker, "go")
            await run.result()
        written = sum(len(entry.payload or b"") for entry in await run.journal())
    return Talk(watch.seconds, watch.cpu_seconds, contents.rows(url) - rows, written)
