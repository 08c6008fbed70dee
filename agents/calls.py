"""Carrying out what a model asks for: checked, approved by people, side by side (A1, A6, A7, A10)."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

from amends.agents.approval_policy import ApprovalPolicy, Sticky
from amends.agents.asking import decision_on
from amends.agents.budget import BEFORE_TOOL
from amends.agents.conversation import Conversation, Deed
from amends.agents.messages import ToolCall, ToolMessage
from amends.agents.parameters import Misfit, digest_of
from amends.agents.tool import Tool, cut
from amends.agents.toolset import AnyTool, Toolset
from amends.sagas.context import now
from amends.sagas.errors import NoEffect, PayloadTooLarge, ResultInvalid
from amends.sagas.outcome import Effect
from amends.sagas.scopes import Scope

SHOWN = 200
"""Characters of a call's arguments that are shown where its undoing is told."""
TOLD = 4_000
"""Characters of an error that a model is told."""


async def carry_out(talk: Conversation, calls: tuple[ToolCall, ...]) -> None:
    """Carry out the calls of one answer, and tell the model what became of each, in their order (A11).

    They are siblings, in a scope that can be undone later; a pivot waits for the others, and is in none.
    """
    # One of them may hand the conversation over; the others are calls of the agent that was asked.
    tools, gate = talk.agent.tools, asyncio.Semaphore(talk.agent.parallel)
    pivots = [call for call in calls if _is_pivot(tools, call)]
    async with Scope() as scope:
        siblings = [call for call in calls if call not in pivots]
        messages = await asyncio.gather(*(_carried_out(talk, tools, call, gate) for call in siblings))
    talk.scopes.append((talk.turn, scope))
    told = {message.call: message for message in messages}
    for call in pivots:
        told[call.id] = await _carried_out(talk, tools, call, gate)
    for call in calls:
        talk.say(told[call.id])
    talk.results.clear()


def _is_pivot(tools: Toolset, call: ToolCall) -> bool:
    found = next((tool for tool in tools if tool.name == call.name), None)
    return isinstance(found, Tool) and found.effect is Effect.PIVOT


async def _carried_out(
    talk: Conversation, tools: Toolset, call: ToolCall, gate: asyncio.Semaphore
) -> ToolMessage:
    try:
        tool, arguments = tools.read(call)
        over = talk.ledger.exhausted(now(), *BEFORE_TOOL)
        if over is not None:
            raise NoEffect(f"not called: {over[1]}")
        talk.ledger.called()
        policy = tool.approval_for(arguments)
        if policy is not None:
            arguments = await _approved(talk, tool, policy, arguments)
        async with gate:
            return talk.told(call, talk.shortened(call, await _done(talk, tool, arguments), tool.limit))
    except Exception as error:  # noqa: BLE001 - a tool's error is the model's to cope with (A1)
        return talk.told(call, words_of(error), failed=True)


async def _done(talk: Conversation, tool: AnyTool, arguments: dict[str, Any]) -> str:
    """Have a tool called, and note what it did; an error means that it did nothing, or that it is undone."""
    effect = tool.effect if isinstance(tool, Tool) else Effect.COMPENSATABLE if tool.undone else Effect.READ
    deed = None if effect is Effect.READ else Deed(talk.turn, tool.name, _shown(tool, arguments), effect)
    try:
        result = await (tool(**arguments) if isinstance(tool, Tool) else tool.carry_out(talk, arguments))
    except (ResultInvalid, PayloadTooLarge):
        # It has landed, and only its result is lost.
        if deed is not None and deed.stays:
            talk.did(deed)
        raise
    if deed is not None:
        talk.did(deed)
    return tool.text_of(result) if isinstance(tool, Tool) else str(result)


async def _approved(
    talk: Conversation, tool: AnyTool, policy: ApprovalPolicy, arguments: dict[str, Any]
) -> dict[str, Any]:
    """Have people approve a call; gives the arguments as they are approved. Raises `NoEffect`."""
    shown = _encoded(tool, arguments)
    digest = digest_of(tool.name, shown)
    if digest in talk.allowed or tool.name in talk.allowed:
        return arguments
    compensation = tool.current_compensation if isinstance(tool, Tool) else None
    decision = await decision_on(
        policy,
        tool.parameters.filled(arguments) if policy.edit and arguments else None,
        policy.asked(tool.name, arguments),
        {
            "agent": talk.agent.name,
            "tool": tool.name,
            "arguments": tool.parameters.plain(arguments),
            "digest": digest,
            "effect": tool.effect.value if isinstance(tool, Tool) else "saga",
            "undone_by": None if compensation is None else compensation.name,
        },
    )
    if decision.expired:
        raise NoEffect("not called: nobody has approved it in time")
    if not decision.approved:
        raise NoEffect(f"not called: {decision.by} has rejected it: {decision.reason or 'no reason given'}")
    if decision.values is not None:
        edited = {
            field.name: getattr(decision.values, field.name) for field in dataclasses.fields(decision.values)
        }
        arguments = tool.parameters.checked(tool.parameters.encoded(edited))
    if policy.sticky == Sticky.CALL:
        talk.allowed.add(digest_of(tool.name, _encoded(tool, arguments)))
    elif policy.sticky == Sticky.TOOL:
        talk.allowed.add(tool.name)
    return arguments


def _encoded(tool: AnyTool, arguments: dict[str, Any]) -> bytes:
    return tool.parameters.encoded(arguments)


def _shown(tool: AnyTool, arguments: dict[str, Any]) -> str:
    return cut(tool.parameters.encoded(arguments).decode(), SHOWN)


def words_of(error: BaseException) -> str:
    """Say what went wrong, to a model: the error's class and text, never its traceback."""
    if isinstance(error, Misfit | NoEffect):
        return cut(str(error), TOLD)
    kind = getattr(error, "type", "") or type(error).__name__
    return cut(f"{kind.rpartition(':')[2]}: {error}", TOLD)
