"""An agent's work, from its input to its result: the loop that is replayed.

Ask the model, carry out what it calls, tell it what became of that, and ask again, until it answers without
calls, and the answer fits the output's type. Everything that touches the world is a step, so what is here
decides from the transcript alone.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from amends.agents import floors
from amends.agents.asking import decision_on
from amends.agents.budget import BEFORE_MODEL, Budget, Exhausted, Ledger
from amends.agents.calls import carry_out
from amends.agents.conversation import WITNESS, Conversation
from amends.agents.errors import AgentFailed, BudgetExhausted, ModelDeclined, OutputInvalid, ResultRejected
from amends.agents.floors import begin_anew_when_long, gone_on
from amends.agents.messages import ModelMessage, UserMessage
from amends.agents.model import Finish, ModelAnswer, ModelRequest
from amends.agents.model_call import Answered, Question
from amends.agents.parameters import Misfit
from amends.agents.turn_plan import Turn, planned
from amends.agents.undoing import UNDO, UndoTo, asked_to_undo, undo_to
from amends.sagas.context import now
from amends.sagas.receiving import receive

if TYPE_CHECKING:
    from amends.agents.agent import Agent

CUT = "Your answer was cut off, since it was too long, and nothing of it was carried out. Be shorter."
EMPTY = "You have answered nothing. Call a tool, or give the final answer."


async def work(agent: Agent[Any], given: Any, above: Conversation | None = None, *, own: bool = False) -> Any:
    """Do an agent's work and give its result; `own` tells that it is a run's whole body.

    Raises `AgentFailed`, and what the model raises.
    """
    talk = begun(agent, given, above, own=own)
    while True:
        await begin_anew_when_long(talk, given)
        if (wanted := await asked_to_undo(talk)) is not None:
            await undo_to(talk, wanted)
        if (over := talk.ledger.exhausted(now(), *BEFORE_MODEL)) is not None:
            ledger, reason = over
            if ledger.budget.exhausted != Exhausted.STOP or not talk.agent.output.is_text:
                await more(talk, ledger, reason)
                continue
            result = talk.last_text
        else:
            message = await asked(talk)
            if message is None:
                continue
            if message.calls:
                await carry_out(talk, message.calls)
                talk.repairs = 0
                continue
            try:
                result = talk.agent.output.read(message.text)
            except Misfit as problem:
                repair(talk, f"{problem}. Give the final answer again, so that it fits.")
                continue
        accepted = await reviewed(talk, result)
        if not isinstance(accepted, UndoTo):
            return accepted
        await undo_to(talk, accepted)


def begun(agent: Agent[Any], given: Any, above: Conversation | None, *, own: bool) -> Conversation:
    """Begin a conversation with what the agent is given, or go on with that of the run's last floor.

    Its budget counts in those above, too.
    """
    talk = gone_on(agent) if own else None
    if talk is None:
        over = None if above is None else above.ledger
        ledger = Ledger(agent.budget or Budget(), now(), over, agent.prices)
        talk = Conversation(
            agent, ledger, 0 if above is None else above.depth + 1, above, floor_at=floors.FIRST
        )
        talk.say(UserMessage(given if isinstance(given, str) else to_json(given).decode()))
    talk.own = own
    if (seen := WITNESS.get()) is not None:
        seen.append(talk)
    return talk


async def asked(talk: Conversation) -> ModelMessage | None:
    """Ask for the next turn; None where the answer was of no use, and the model was told."""
    talk.turn += 1
    answer = await answered(talk, planned(talk))
    message = answer.message
    if message.refusal is not None:
        raise ModelDeclined(f"agent {talk.agent.name!r}: the model refuses: {message.refusal}")
    if answer.finish is Finish.FILTERED:
        raise ModelDeclined(f"agent {talk.agent.name!r}: the provider's filter has cut the answer off")
    if answer.finish is Finish.LENGTH:
        # What is cut off may be half a call: nothing of it is carried out, and none is left unanswered (A11).
        talk.say(ModelMessage(message.text))
        repair(talk, CUT)
        return None
    if not message.calls and not message.text.strip():
        repair(talk, EMPTY)
        return None
    return talk.answered(message)


async def answered(talk: Conversation, turn: Turn) -> ModelAnswer:
    """Put the question to the agent's models, one after the other while they fail."""
    agent, models = talk.agent, turn.models or talk.agent.models
    request = ModelRequest(turn.instructions, tuple(talk.messages), turn.tools, turn.output, turn.options)
    for choice, model in enumerate(models):
        if talk.ledger.counts_cost and talk.ledger.price_of(model.name) is None:
            raise AgentFailed(
                f"agent {agent.name!r}: nobody knows what {model.name!r} costs, so that the budget of US "
                "dollars can't be kept; say it in the agent's prices={...: Price(...)}"
            )
        try:
            found: Answered = await agent.model_call.put(
                talk.turn, choice, Question(model, request, talk.said())
            )
            talk.ledger.asked(found.answer, model.name)
            return found.answer
        except Exception:
            if choice + 1 == len(models):
                raise
    raise AgentFailed(f"agent {agent.name!r} has no model")


def repair(talk: Conversation, text: str) -> None:
    """Tell the model that its answer won't do. Raises `OutputInvalid` where it was told so often enough."""
    talk.repairs += 1
    if talk.repairs > talk.agent.repairs:
        raise OutputInvalid(f"agent {talk.agent.name!r}: after {talk.agent.repairs} repairs, still: {text}")
    talk.note(text)


async def more(talk: Conversation, ledger: Ledger, reason: str) -> None:
    """Ask people for as much again where a budget says so. Raises `BudgetExhausted`."""
    budget = ledger.budget
    if budget.exhausted == Exhausted.ASK:
        title = f"Agent {talk.agent.name}: {reason}; give it as much again?"
        details = {"used": json.loads(to_json(ledger.used)), "last": talk.last_text}
        decision = await decision_on(budget.ask, None, title, details)
        if decision.approved:
            ledger.share += 1
            return
        reason += ", and nobody gave more" if decision.by is None else f", and {decision.by} gave no more"
    raise BudgetExhausted(f"agent {talk.agent.name!r}: {reason}")


async def reviewed(talk: Conversation, result: Any) -> Any:
    """Have people accept the result, where the agent says so; gives what they accept, or what to undo."""
    policy = talk.agent.review
    if policy is None:
        return result
    editable = policy.edit and (dataclasses.is_dataclass(result) or hasattr(result, "model_fields"))
    stays = [deed for deed in talk.work_after(0) if deed.stays or talk.no_return]
    details = {
        "result": result,
        "undone if rejected": [str(deed) for deed in talk.work_after(0) if deed not in stays],
        "stays": [str(deed) for deed in stays],
    }
    title = policy.title or f"Accept the result of {talk.agent.name}"
    asking = asyncio.ensure_future(decision_on(policy, result if editable else None, title, details))
    undoing = asyncio.ensure_future(receive(UndoTo, name=UNDO)) if not talk.depth else None
    waiting = [asking] if undoing is None else [asking, undoing]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    if undoing is not None and undoing.done() and not asking.done():
        asking.cancel()
        return undoing.result()
    if undoing is not None:
        undoing.cancel()
    decision = asking.result()
    if decision.expired:
        raise ResultRejected(f"agent {talk.agent.name!r}: nobody has accepted the result in time")
    if not decision.approved:
        why = decision.reason or "no reason given"
        raise ResultRejected(f"agent {talk.agent.name!r}: {decision.by} has rejected the result: {why}")
    return result if decision.values is None else decision.values
