"""Agents: sagas whose steps a model chooses."""

from amends.agents.agent import Agent
from amends.agents.approval_policy import ApprovalPolicy, Sticky
from amends.agents.budget import Budget, Exhausted
from amends.agents.built_in import agent_tool, ask_person, handoff, saga_tool, sleeping
from amends.agents.errors import (
    AgentFailed,
    BudgetExhausted,
    ModelDeclined,
    OutputInvalid,
    ResultRejected,
)
from amends.agents.exporting import Transcript, openai_messages, transcript, transcripts
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
from amends.agents.reading import read_result
from amends.agents.scripted import Scripted, ScriptedModel
from amends.agents.structured import Structured
from amends.agents.tool import Tool, tool
from amends.agents.toolset import Toolset
from amends.agents.turn_plan import Turn
from amends.agents.undoing import UndoTo

__all__ = [
    "Agent",
    "AgentFailed",
    "AnswerInvalid",
    "ApprovalPolicy",
    "Budget",
    "BudgetExhausted",
    "ContentRefused",
    "ContextTooLong",
    "Exhausted",
    "Finish",
    "KeyMissing",
    "KeyRejected",
    "Message",
    "Misfit",
    "Model",
    "ModelAnswer",
    "ModelBusy",
    "ModelDeclined",
    "ModelError",
    "ModelFatal",
    "ModelMessage",
    "ModelRequest",
    "ModelUnavailable",
    "ModelUnknown",
    "NoteMessage",
    "OpenAIModel",
    "OutputInvalid",
    "OutputSpec",
    "PRICES",
    "Price",
    "QuotaExhausted",
    "RequestInvalid",
    "ResultRejected",
    "Scripted",
    "ScriptedModel",
    "Sticky",
    "Structured",
    "Tool",
    "ToolCall",
    "ToolMessage",
    "ToolSpec",
    "Toolset",
    "Transcript",
    "TranscriptInvalid",
    "Turn",
    "UndoTo",
    "Usage",
    "UserMessage",
    "agent_tool",
    "ask_person",
    "cost",
    "digest_of",
    "handoff",
    "openai_messages",
    "price_of",
    "read_result",
    "saga_tool",
    "sleeping",
    "tool",
    "transcript",
    "transcripts",
]
