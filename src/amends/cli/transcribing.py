"""Printing what was said in an agent's run, to be read or in the form of OpenAI's chats."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from amends.agents import (
    Message,
    ModelMessage,
    NoteMessage,
    ToolMessage,
    Transcript,
    openai_messages,
    transcripts,
)
from amends.cli.errors import CommandError
from amends.cli.modules import import_given
from amends.cli.output import plain, render, write_json
from amends.cli.reading import must_exist, quiet
from amends.sagas.coordinator import Coordinator
from amends.story.conversing import called
from amends.story.documents import Document, decoded


def print_transcript(url: str, run_id: str, modules: Sequence[str], *, as_json: bool) -> None:
    """Print the transcripts of a run's agents.

    Raises `CommandError` where no agent has begun in it, `RunNotFound`, and what `transcripts` raises.
    """
    must_exist(url)
    import_given(modules)
    quiet()
    found = asyncio.run(_found(url, run_id))
    if not found:
        raise CommandError(f"run {run_id!r} has no transcript: no agent has begun in it")
    if as_json:
        write_json({"run": run_id, "transcripts": [_document(each) for each in found]})
        return
    for place, each in enumerate(found):
        render(*([Text()] if place else []), plain(_title(each), "bold"), Text(), _laid_out(each))


async def _found(url: str, run_id: str) -> tuple[Transcript, ...]:
    async with Coordinator(url, work=False, migrate=False) as coordinator:
        run = await coordinator.get(run_id)
        return transcripts(await run.export())


def _document(each: Transcript) -> Document:
    return {
        "agent": each.agent,
        "depth": each.depth,
        "used": {name: value if isinstance(value, int) else str(value) for name, value in each.used.items()},
        "messages": openai_messages(each.messages, instructions=each.instructions),
    }


def _title(each: Transcript) -> str:
    return each.agent if not each.depth else f"{each.agent}, which another agent has called"


def _laid_out(each: Transcript) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    if each.instructions:
        grid.add_row(Text("told", "dim"), plain(each.instructions, "dim"))
    for message in each.messages:
        for who, style, text in _lines(message):
            grid.add_row(Text(who, style), plain(text))
    return grid


def _lines(message: Message) -> Iterator[tuple[str, str, str]]:
    match message:
        case ModelMessage():
            if said := message.text or message.refusal:
                yield "model", "green", said
            for call in message.calls:
                yield "calls", "cyan", called(call.name, decoded(call.arguments.encode(errors="replace")))
        case ToolMessage():
            yield ("error" if message.failed else "gave"), ("red" if message.failed else "cyan"), message.text
        case NoteMessage():
            yield "note", "yellow", message.text
        case _:
            yield "user", "bold", message.text
