"""A model for tests: it answers as its script says, and keeps what it was asked."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal

from amends.agents.answer_parts import usage_of
from amends.agents.chat_request import chat_request
from amends.agents.messages import ModelMessage, ToolCall
from amends.agents.model import Finish, ModelAnswer, ModelRequest
from amends.agents.texts import as_json
from amends.sagas import checked
from amends.sagas.errors import DefinitionError, Fatal

__all__ = ["Scripted", "ScriptedModel"]

Scripted = str | ToolCall | Sequence[ToolCall] | ModelMessage | ModelAnswer | BaseException
"""An answer of a script: text, one call or several, a whole message or answer, or an error to raise."""


class ScriptedModel:
    """A model that answers as its script says: a list of answers, or a function of the request.

    `by="order"` gives one answer for each time it is asked. `by="turn"` counts the model's messages in the
    transcript instead: a request that a killed worker makes again gets the same answer. A function, sync or
    async, may do as it likes. `asked` holds the requests, in order. It refuses what a server would: a
    transcript with a call that has no result (A11). When the script is over it raises `Fatal`.

    >>> model = ScriptedModel(
    ...     [ToolCall("c1", "search", '{"for": "kettles"}'), "There are three."]
    ... )
    """

    def __init__(
        self,
        answers: Sequence[Scripted] | Callable[[ModelRequest], Scripted | Awaitable[Scripted]],
        *,
        name: str = "scripted",
        by: Literal["order", "turn"] = "order",
    ) -> None:
        if isinstance(answers, str) or not (callable(answers) or isinstance(answers, Sequence)):
            raise DefinitionError(f"ScriptedModel: {answers!r} is neither a list of answers nor a function")
        if by not in ("order", "turn"):
            raise DefinitionError(f'ScriptedModel: by={by!r} must be "order" or "turn"')
        self._answers = answers if callable(answers) else tuple(answers)
        self._name = checked.name(name, "ScriptedModel: name")
        self._by = by
        self.asked: list[ModelRequest] = []

    @property
    def name(self) -> str:
        """The model's name."""
        return self._name

    async def answer(self, request: ModelRequest) -> ModelAnswer:
        """Give the next answer. Raises what the script says, and `Fatal` after its end."""
        body = chat_request(self._name, request)
        self.asked.append(request)
        scripted = await self._next(request)
        if isinstance(scripted, BaseException):
            raise scripted
        if isinstance(scripted, ModelAnswer):
            return scripted
        message = _message(scripted)
        finish = Finish.CALLS if message.calls else Finish.STOP
        usage = usage_of(None, len(as_json(body).encode()), message)
        return ModelAnswer(message, finish, usage, self._name, f"answer-{len(self.asked)}")

    async def _next(self, request: ModelRequest) -> Scripted:
        if callable(self._answers):
            given = self._answers(request)
            return await given if inspect.isawaitable(given) else given
        said = sum(isinstance(message, ModelMessage) for message in request.messages)
        place = len(self.asked) - 1 if self._by == "order" else said
        if place < len(self._answers):
            return self._answers[place]
        has = len(self._answers)
        raise Fatal(f"ScriptedModel {self._name!r}: there is no answer number {place + 1}; it has {has}")


def _message(scripted: Any) -> ModelMessage:
    match scripted:
        case ModelMessage():
            return scripted
        case str():
            return ModelMessage(scripted)
        case ToolCall():
            return ModelMessage(calls=(scripted,))
        case list() | tuple() if all(isinstance(call, ToolCall) for call in scripted):
            return ModelMessage(calls=tuple(scripted))
    raise DefinitionError(f"ScriptedModel: {scripted!r} is no answer; give text, calls, a message, an error")
