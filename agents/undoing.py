"""Undoing an agent's work to a turn, and telling the model what became of it (A4, A5, A9)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import Field

from amends.agents.conversation import Conversation, Deed
from amends.sagas.receiving import receive

UNDO = "amends.undo"
"""The name of the signal by which people have an agent's work undone."""


@dataclass(frozen=True, slots=True)
class UndoTo:
    """A person's word that an agent's work after a turn is to be undone, and that it goes on from there.

    `turn` is the last turn whose work stays; 0 undoes all of it. `reason` is told to the model.
    Send it by `coordinator.signal(run_id, "amends.undo", UndoTo(turn=2, reason="..."))`; it is taken before
    the next question to the model, or while the result waits for its review. Beyond a point of no return
    (a pivot that has landed) nothing is undone.
    """

    turn: Annotated[int, Field(ge=0)]
    reason: str = ""


async def undo_to(talk: Conversation, wanted: UndoTo) -> None:
    """Undo what was done after a turn, the last turn first (S7), and tell the model (A9).

    What was done before a point of no return stays (S14).
    """
    last = max(wanted.turn, talk.no_return)
    for turn, scope in reversed(list(talk.scopes)):
        if turn > last:
            await scope.undo()
    talk.scopes = [(turn, scope) for turn, scope in talk.scopes if turn <= last]
    undone = [deed for deed in talk.work_after(last) if not deed.stays]
    for deed in undone:
        deed.undone = True
    talk.note(told(replace(wanted, turn=last), undone, talk.work_after(wanted.turn)))
    talk.repairs = 0


def told(wanted: UndoTo, undone: list[Deed], stays: list[Deed]) -> str:
    """Say to a model what was undone and what couldn't be."""
    since = "Everything that you did" if wanted.turn == 0 else f"What you did after turn {wanted.turn}"
    lines = [f"{since} has been undone by a person."]
    if wanted.reason:
        lines.append(f"Their reason: {wanted.reason}")
    lines.append(f"Undone: {'; '.join(map(str, undone)) or 'nothing had to be'}.")
    if stays:
        lines.append(f"This can't be undone and still stands: {'; '.join(map(str, stays))}.")
    lines.append("Results of what was undone are no longer true. Go on from there.")
    return "\n".join(lines)


async def asked_to_undo(talk: Conversation) -> UndoTo | None:
    """Give what people want undone, if they have said so; sub-agents aren't asked."""
    if talk.depth:
        return None
    try:
        return await receive(UndoTo, name=UNDO, timeout=0)
    except TimeoutError:
        return None
