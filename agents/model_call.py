"""Asking a model: a step that is recorded once it is answered, and asked again only where it wasn't (A3)."""

from __future__ import annotations

import hashlib
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from opentelemetry.trace import get_current_span
from pydantic import TypeAdapter

from amends.agents.model import Model, ModelAnswer, ModelRequest
from amends.agents.trace_words import of_request
from amends.sagas.context import current_step, running_body
from amends.sagas.errors import OutsideRun
from amends.sagas.outcome import Effect, OnUnknown
from amends.sagas.registry import STEPS
from amends.sagas.retry import Retry
from amends.sagas.step import Step, StepOptions

REQUEST: TypeAdapter[ModelRequest] = TypeAdapter(ModelRequest)


@dataclass(frozen=True, slots=True)
class Answered:
    """A model's answer as recorded, and the digest of the request that it answers.

    The request itself is made of what the journal holds already, and isn't written again.
    """

    answer: ModelAnswer
    request: str


@dataclass(frozen=True, slots=True)
class Question:
    """What a call of a model is handed in memory: whom to ask, what, and the digest of all its messages."""

    model: Model
    request: ModelRequest
    said: str


async def ask(turn: int, choice: int) -> Answered:
    """Ask the model for a turn; `choice` is its place among the agent's models."""
    del turn, choice
    question: Question = current_step().beside
    get_current_span().set_attributes(of_request(question.request))
    answer = await question.model.answer(question.request)
    rest = REQUEST.dump_json(replace(question.request, messages=()))
    return Answered(answer, hashlib.sha256(question.said.encode() + rest).hexdigest())


class ModelCall(Step[[int, int], Answered]):
    """The step by which one agent asks its models: a look at the world, which changes nothing in it."""

    def __init__(self, agent: str, retry: Retry, timeout: timedelta) -> None:
        options = StepOptions(retry, timeout, (), OnUnknown.RETRY, None, Effect.READ, None)
        super().__init__(ask, f"{agent}.model", options, {})
        STEPS.add(self.name, self, ask)

    def put(self, turn: int, choice: int, question: Question) -> Coroutine[Any, Any, Answered]:
        """Ask, in a saga's body. Raises what the model raises once its attempts are used up."""
        body = running_body()
        if body is None:
            raise OutsideRun("an agent was called outside a run; start it with a coordinator")
        return body.step(self, (turn, choice), {}, beside=question)
