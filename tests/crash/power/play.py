"""A process that drives runs on a SQLite file, and says aloud what it was told to be durable.

`python -m tests.crash.power.play URL ACKS SESSIONS RUNS SYNCHRONOUS`
"""

from __future__ import annotations

import asyncio
import os
import sys

from pydantic import BaseModel
from sqlalchemy import Connection, Engine, event

from amends.sagas import Coordinator, Decision, Undo, approval, receive, saga, step

STEPS = 2
PAYLOAD = "x" * 6_000
SAYING: list[int] = []


class Form(BaseModel):
    """What a person fills in."""

    note: str


def say(*words: object) -> None:
    """Say that something is durable."""
    for file in SAYING:
        os.write(file, (" ".join(map(str, words)) + "\n").encode())


@step(name="power.note")
async def note(run: str, number: int) -> str:
    say("begun", run, number)
    return PAYLOAD


@note.compensation(name="power.erase")
async def erase(undo: Undo[str], run: str, number: int) -> None: ...


@saga(name="power.trip")
async def trip(run: str) -> str:
    for number in range(STEPS):
        await note(run, number)
    word = await receive(str, name="word")
    decision: Decision[Form] = await approval(Form, title=f"May {run} go on?", approvers=["ann"])
    await note(run, STEPS)
    return f"{word} {decision.values.note if decision.values else '-'}"


async def session(url: str, names: list[str]) -> None:
    """Take runs from their start to their end, in a process's stay."""
    async with Coordinator(url) as coordinator:
        await asyncio.gather(*(_through(coordinator, name) for name in names))


async def _through(coordinator: Coordinator, name: str) -> None:
    run = await coordinator.start(trip, name, id=name)
    say("started", name)
    await coordinator.signal(name, "word", f"word-{name}")
    say("signalled", name)
    while not (asked := await coordinator.approvals(run_id=name)):  # noqa: ASYNC110 - there is no other way
        await asyncio.sleep(0.005)
    await coordinator.decide(asked[0].id, approved=True, by="ann", values={"note": f"note-{name}"})
    say("decided", name)
    result = await run.result()
    say("ended", name, result)


def main() -> None:
    """Do some sessions, one after the other; with a mode of SQLite's, in that instead of FULL."""
    url, acks, sessions, runs, mode = sys.argv[1:]
    SAYING.append(os.open(acks, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600))
    if mode != "FULL":

        @event.listens_for(Engine, "engine_connect")
        def weaken(connection: Connection) -> None:
            connection.connection.cursor().execute(f"PRAGMA synchronous={mode}")

    for number in range(int(sessions)):
        names = [f"r-{number}-{each}" for each in range(int(runs))]
        asyncio.run(session(url, names))


if __name__ == "__main__":
    main()
