"""The order in which a transcript is sent: every call of a tool with its result, right behind it (A11)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from amends.agents.messages import Message, ModelMessage, ToolCall, ToolMessage
from amends.agents.model_errors import TranscriptInvalid

__all__ = ["call_ids", "in_order"]


def in_order(messages: Iterable[Message]) -> list[Message]:
    """Give the messages with each call's result right behind the message that made the call.

    What was said meanwhile follows the results. Raises `TranscriptInvalid` for a call without result, a
    result without call or before it, and an id that two calls or two results share.
    """
    given = tuple(messages)
    results = _results(given)
    ordered: list[Message] = []
    answered: set[str] = set()
    for place, message in enumerate(given):
        if not isinstance(message, ToolMessage):
            ordered.append(message)
        if isinstance(message, ModelMessage):
            for call in message.calls:
                if call.id in answered:
                    raise _invalid("repeated_call", f"two calls have the id {call.id!r}")
                answered.add(call.id)
                ordered.append(_result(call, results, place))
    for call_id in results:
        if call_id not in answered:
            raise _invalid("unasked_result", f"a result is for the call {call_id!r}, which isn't there")
    return ordered


def _results(messages: tuple[Message, ...]) -> dict[str, tuple[int, ToolMessage]]:
    results: dict[str, tuple[int, ToolMessage]] = {}
    for place, message in enumerate(messages):
        if isinstance(message, ToolMessage):
            if message.call in results:
                raise _invalid("repeated_result", f"two results are for the call {message.call!r}")
            results[message.call] = (place, message)
    return results


def _result(call: ToolCall, results: dict[str, tuple[int, ToolMessage]], place: int) -> ToolMessage:
    at, result = results.get(call.id, (place, None))
    if result is None:
        what = f"the call {call.id!r} of the tool {call.name!r} has no result; put a ToolMessage for it there"
        raise _invalid("unanswered_call", what)
    if at < place:
        raise _invalid("unasked_result", f"the result of {call.id!r} stands before its call")
    return result


def call_ids(messages: Iterable[Message]) -> Iterator[str]:
    """Give the ids of the calls that a transcript has already."""
    for message in messages:
        if isinstance(message, ModelMessage):
            yield from (call.id for call in message.calls)


def _invalid(code: str, what: str) -> TranscriptInvalid:
    return TranscriptInvalid(f"the transcript can't be sent: {what}", code=code)
