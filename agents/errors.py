"""How an agent fails.

::

    AgentFailed           the agent can't give a result; what it did is undone with its scope
    ├── OutputInvalid     the model's final answers don't fit the output's type, again and again
    ├── ModelDeclined     the model, or its provider's filter, refuses to answer
    ├── BudgetExhausted   a budget is used up
    └── ResultRejected    a person has rejected the result
"""

from __future__ import annotations

from amends.sagas.errors import AmendsError

__all__ = ["AgentFailed", "BudgetExhausted", "ModelDeclined", "OutputInvalid", "ResultRejected"]


class AgentFailed(AmendsError):
    """An agent can't give a result. What its tools did is undone with its scope."""


class OutputInvalid(AgentFailed):
    """The model's final answers don't fit the output's type, as often as it was told so."""


class ModelDeclined(AgentFailed):
    """The model refuses to answer, or its provider's filter cuts the answer off."""


class BudgetExhausted(AgentFailed):
    """A budget is used up: the message says which, and how much it was."""


class ResultRejected(AgentFailed):
    """A person has rejected the agent's result; the message holds the reason."""
