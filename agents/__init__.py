"""Agents: sagas whose steps a model chooses."""

from amends.agents.approval_policy import ApprovalPolicy, Sticky
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
from amends.agents.parameters import Misfit, digest_of
from amends.agents.prices import PRICES, Price, cost, price_of
from amends.agents.scripted import Scripted, ScriptedModel
from amends.agents.structured import Structured
from amends.agents.tool import Tool, tool
from amends.agents.toolset import Toolset

__all__ = [
    "AnswerInvalid",
    "ApprovalPolicy",
    "ContentRefused",
    "ContextTooLong",
    "Finish",
    "KeyMissing",
    "KeyRejected",
    "Message",
    "Misfit",
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
    "Sticky",
    "Structured",
    "Tool",
    "ToolCall",
    "ToolMessage",
    "ToolSpec",
    "Toolset",
    "TranscriptInvalid",
    "Usage",
    "UserMessage",
    "cost",
    "digest_of",
    "price_of",
    "tool",
]
