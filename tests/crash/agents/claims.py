"""What must hold of an agent after any crash: its requests, its journal and the world are compared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from amends.sagas.history import History
from amends.sagas.journal import Kind
from examples.model_server.server import problem
from tests.crash.agents.scripts import UNDONE_NOTE, AgentCase
from tests.crash.cycles import Ending

Request = Mapping[str, Any]

MOST_LOST = 2
"""So many answers one kill can cost: the guide's last one needs no write before its agent asks the next."""


def broken(agent: AgentCase, end: Ending, requests: Sequence[Request]) -> list[str]:
    """Give everything that is wrong with an agent's run that has ended, beside what is wrong with any run."""
    return [
        *_asked_once(agent, end, requests),
        *_valid(requests),
        *_one_key(end),
        *_decided_once(end),
        *_told(agent, requests),
    ]


def answers(end: Ending) -> int:
    """Count the model's answers on record."""
    history = History()
    for entry in end.story.entries:
        history.apply(entry)
    return sum(step.landed for step in history.steps.values() if step.name.endswith(".model"))


def _asked_once(agent: AgentCase, end: Ending, requests: Sequence[Request]) -> Iterator[str]:
    """A3: what is on record isn't asked again; what a kill has cost is asked for once more, alike."""
    recorded, kills = answers(end), sum(child.killed for child in end.exits)
    if recorded != agent.answers:
        yield f"A3: {recorded} answers are on record, the script has {agent.answers}"
    if not recorded <= len(requests) <= recorded + kills * MOST_LOST:
        yield f"A3: {len(requests)} requests for {recorded} answers and {kills} kills"
    texts = {request["text"] for request in requests}
    if len(texts) != recorded:
        yield f"A3: {len(texts)} different requests for {recorded} answers on record"


def _valid(requests: Sequence[Request]) -> Iterator[str]:
    """A11: no request has a call without its result."""
    for request in requests:
        wrong = problem(request["body"], request["api"])
        if wrong is not None:
            yield f"A11: request {request['number']}: {wrong}"


def _one_key(end: Ending) -> Iterator[str]:
    """A8: what a call of a tool does has one key, however often it was tried."""
    keys: defaultdict[str, set[str]] = defaultdict(set)
    for call in end.story.calls:
        if call.verb == "apply":
            keys[call.name].add(call.key)
    for name, found in keys.items():
        if len(found) > 1:
            yield f"A8: {name} was called with {len(found)} keys"
    undone = [call.forward_key for call in end.story.calls if call.verb == "undo" and call.landed]
    if len(undone) != len(set(undone)):
        yield f"A5: something was undone twice: {undone}"


def _decided_once(end: Ending) -> Iterator[str]:
    """A10: a gated call follows its decision, and each decision is taken once."""
    decided = [entry for entry in end.story.entries if entry.kind is Kind.DECIDED]
    if len({entry.ref for entry in decided}) != len(decided):
        yield f"A10: a decision was taken twice: {decided}"
    paid = [entry for entry in end.story.entries if entry.kind is Kind.INTENT and entry.name == "trip_pay"]
    if paid and not (decided and decided[0].seq < paid[0].seq):
        yield "A10: it was paid before that was decided"


def _told(agent: AgentCase, requests: Sequence[Request]) -> Iterator[str]:
    """A1, A9: the model is told what failed, and what was undone."""
    last = max((request["text"] for request in requests if "You plan trips." in request["text"]), key=len)
    if "visa says no" not in last or "museum broke down" not in last:
        yield "A1: the model wasn't told what had failed"
    undone = agent.case.act == "undo"
    if (UNDONE_NOTE in last) != undone:
        yield f"A9: that its work was undone, the model was {'not ' * undone}told"
