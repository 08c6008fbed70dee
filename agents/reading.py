"""Large results by reference: a model is told the beginning, and reads on where it wants to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from amends.agents.built_in import InBody, parameters_of
from amends.agents.conversation import Conversation
from amends.agents.tool import LIMIT
from amends.sagas import checked
from amends.sagas.errors import DefinitionError, NoEffect

SHOWN: Final = 20
"""So many results are named to a model that asks for one that isn't there."""


class ReadsResults(InBody):
    """A tool that gives parts of results that were cut."""

    reads_results = True


def read_result(*, name: str = "read_result", longest: int = LIMIT) -> ReadsResults:
    """Make a tool by which a model reads on in a result that was too long to be told whole.

    An agent that has it names each result that it cuts. Reading is no step: the whole result stands in the
    journal already, and replay gives the same parts. `longest` bounds the characters of one part.
    Raises `DefinitionError`.

    >>> Agent("clerk", model=model, tools=[export_orders, read_result()])
    """
    most = checked.count(longest, "read_result: longest", DefinitionError)

    def part(result: str, start: int = 0, length: int = most) -> str:
        """Read.

        Args:
            result: the name of the result, as the note on its cut gives it
            start: the number of the first character, counted from 0
            length: how many characters
        """
        return f"{result}{start}{length}"

    async def carried(talk: Conversation, arguments: Mapping[str, Any]) -> str:
        return _part(talk.whole, arguments["result"], arguments["start"], min(arguments["length"], most))

    text = "Read a part of a result that was cut because it is long."
    return ReadsResults(name, text, parameters_of(part, name), carried, limit=most + LIMIT)


def _part(known: Mapping[str, str], result: str, start: int, length: int) -> str:
    """Give a part of a result. Raises `NoEffect` with what the model is told."""
    whole = known.get(result)
    if whole is None:
        names = ", ".join(list(known)[-SHOWN:]) or "none yet"
        raise NoEffect(f"no result of this name was cut; those that were: {names}")
    if not 0 <= start < len(whole) or length < 1:
        raise NoEffect(f"{result} has the characters 0 to {len(whole) - 1}; ask for some of these")
    end = min(start + length, len(whole))
    return f"{whole[start:end]}\n[characters {start} to {end - 1} of {len(whole)}]"
