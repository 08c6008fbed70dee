"""Replay floors of long conversations: a run that is woken replays from the last one, not from its beginning.

A floor holds the conversation so far. Each comes when the turns have doubled since the one before, so that
all of them together hold at most about twice what was said, and half of the turns are replayed at most.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter

from amends.agents.budget import Budget, Ledger
from amends.agents.conversation import Conversation, Deed
from amends.agents.messages import Message
from amends.sagas.context import running_body
from amends.sagas.registry import saga_named
from amends.sagas.scopes import Scope

if TYPE_CHECKING:
    from amends.agents.agent import Agent

FIRST: Final = 64
"""The turn after which the first floor is written."""
LARGEST: Final = 1 << 18
"""Bytes that a floor may take; a conversation that is longer is replayed from the floor before."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A conversation as a floor holds it: everything that follows from what was said and done before."""

    agent: tuple[str, str]
    messages: tuple[Message, ...]
    turn: int
    deeds: tuple[Deed, ...]
    scopes: tuple[tuple[int, int], ...]
    no_return: int
    allowed: tuple[str, ...]
    ids: tuple[str, ...]
    whole: dict[str, str]
    begun: dt.datetime
    share: int
    counted: dict[str, int]
    cost: Decimal


KEPT: Final[TypeAdapter[Kept]] = TypeAdapter(Kept)


async def begin_anew_when_long(talk: Conversation, given: Any) -> None:
    """Write a floor where it is time for one; the body begins anew there, and goes on as it would have."""
    body = running_body()
    if body is None or not talk.own or talk.turn < talk.floor_at or talk.repairs:
        return
    data = KEPT.dump_json(_kept(talk))
    talk.floor_at = 2 * talk.turn
    if len(data) <= LARGEST:
        await body.start_over((given,), {}, data)


def gone_on(agent: Agent[Any]) -> Conversation | None:
    """Give the conversation that the last floor of this run holds; None where there is none."""
    body = running_body()
    if body is None or not body.kept:
        return None
    kept = KEPT.validate_json(body.kept)
    name, version = kept.agent
    # One that it was handed over to; unknown here, the run is parked until the code has it.
    now: Any = agent if name == agent.name else saga_named(name, version)
    prices = agent.prices if now is agent else {**(agent.prices or {}), **(now.prices or {})}
    ledger = Ledger(agent.budget or Budget(), kept.begun, None, prices)
    ledger.share, ledger.used = kept.share, {**kept.counted, "cost": kept.cost}
    talk = Conversation(now, ledger, messages=list(kept.messages), turn=kept.turn, deeds=list(kept.deeds))
    talk.scopes = [(turn, Scope.again(number)) for turn, number in kept.scopes]
    talk.no_return, talk.allowed, talk.ids = kept.no_return, set(kept.allowed), set(kept.ids)
    talk.whole, talk.floor_at = dict(kept.whole), 2 * kept.turn
    return talk


def _kept(talk: Conversation) -> Kept:
    used = dict(talk.ledger.used)
    cost = used.pop("cost")
    return Kept(
        (talk.agent.name, talk.agent.version),
        tuple(talk.messages),
        talk.turn,
        tuple(talk.deeds),
        tuple((turn, scope.number) for turn, scope in talk.scopes),
        talk.no_return,
        tuple(sorted(talk.allowed)),
        tuple(sorted(talk.ids)),
        talk.whole,
        talk.ledger.begun,
        talk.ledger.share,
        used,
        cost,
    )
