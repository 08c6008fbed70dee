"""An agent's tools: no two of one name, in an order that doesn't change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from amends.agents.approval_policy import ApprovalPolicy
from amends.agents.conversation import Conversation
from amends.agents.messages import ToolCall
from amends.agents.model import ToolSpec
from amends.agents.parameters import Misfit, Parameters
from amends.agents.tool import Tool
from amends.sagas.errors import DefinitionError


class BodyTool(Protocol):
    """A tool that is carried out in the run's body: it may wait for people, sleep, call sagas and agents."""

    name: str
    description: str
    parameters: Parameters
    limit: int
    """Characters of what it gives that the model is told."""
    undone: bool
    """Whether what it does is undone with the agent's work, as far as it can be."""

    @property
    def spec(self) -> ToolSpec:
        """The tool as a model is shown it."""
        ...

    def approval_for(self, arguments: Mapping[str, Any]) -> ApprovalPolicy | None:
        """Give how people are asked about a call; None where nobody is."""
        ...

    async def carry_out(self, talk: Conversation, arguments: Mapping[str, Any]) -> str:
        """Do it, and give what the model is told. Raises whatever the model is to be told instead."""
        ...


AnyTool = Tool[..., Any] | BodyTool


class Toolset:
    """Tools by name. Raises `DefinitionError` for two of one name, or whose names look alike."""

    def __init__(self, tools: Iterable[AnyTool], agent: str) -> None:
        self._tools: dict[str, AnyTool] = {}
        alike: dict[str, str] = {}
        for tool in tools:
            if not isinstance(getattr(tool, "parameters", None), Parameters):
                raise DefinitionError(
                    f"agent {agent!r}: {tool!r} is no tool; decorate the function with @tool"
                )
            same = alike.setdefault(_bare(tool.name), tool.name)
            if same != tool.name or tool.name in self._tools:
                raise DefinitionError(
                    f"agent {agent!r} has two tools that a model can't tell apart: {same!r} and {tool.name!r}"
                )
            self._tools[tool.name] = tool

    @property
    def reader(self) -> str | None:
        """The name of the tool by which a model reads on in a result that was cut; None where it has none."""
        return next((tool.name for tool in self if getattr(tool, "reads_results", False)), None)

    def __iter__(self) -> Iterator[AnyTool]:
        return iter(self._tools.values())

    def read(self, call: ToolCall) -> tuple[AnyTool, dict[str, Any]]:
        """Give what a model's call stands for. Raises `Misfit` with what the model is told."""
        found = self._tools.get(call.name)
        if found is None:
            known = ", ".join(self._tools) or "none"
            raise Misfit(f"there is no tool {call.name[:100]!r}; there are: {known}")
        return found, found.parameters.read(call.arguments)


def _bare(name: str) -> str:
    return name.lower().replace("-", "_")
