"""Agents: sagas whose steps a model chooses."""

from amends.agents.messages import Message, ModelMessage, NoteMessage, ToolCall, ToolMessage, UserMessage
from amends.agents.model import Finish, Model, ModelAnswer, ModelRequest, OutputSpec, ToolSpec, Usage
from amends.agents.model_errors import (
    AnswerInvalid,
    ContentRefused,
    ContextTooLong,
    KeyMissing,
    KeyRejected,
    ModelBusy,
    ModelError,
    ModelFatal,
    ModelUnavailable,
    ModelUnknown,
    QuotaExhausted,
    RequestInvalid,
    TranscriptInvalid,
)
from amends.agents.openai_model import OpenAIModel
from amends.agents.prices import PRICES, Price, cost, price_of
from amends.agents.scripted import Scripted, ScriptedModel
from amends.agents.structured import Structured

__all__ = [
    "AnswerInvalid",
    "ContentRefused",
    "ContextTooLong",
    "Finish",
    "KeyMissing",
    "KeyRejected",
    "Message",
    "Model",
    "ModelAnswer",
    "ModelBusy",
    "ModelError",
    "ModelFatal",
    "ModelMessage",
    "ModelRequest",
    "ModelUnavailable",
    "ModelUnknown",
    "NoteMessage",
    "OpenAIModel",
    "OutputSpec",
    "PRICES",
    "Price",
    "QuotaExhausted",
    "RequestInvalid",
    "Scripted",
    "ScriptedModel",
    "Structured",
    "ToolCall",
    "ToolMessage",
    "ToolSpec",
    "TranscriptInvalid",
    "Usage",
    "UserMessage",
    "cost",
    "price_of",
]
