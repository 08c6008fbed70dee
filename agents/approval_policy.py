"""Which calls of a tool people have to approve, and how they are asked (A7, A10)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from amends.sagas import checked
from amends.sagas.errors import DefinitionError

When = Callable[..., bool]
"""A pure function of a tool's arguments, by name, that tells whether people have to approve them."""


class Sticky(StrEnum):
    """For what else one approval holds, in the same run."""

    NO = "no"
    CALL = "call"
    """For the same tool with the very same arguments."""
    TOOL = "tool"
    """For every later call of the tool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalPolicy:
    """When a tool's call needs people, and how they are asked; the options are those of `approval`.

    `when` gets the validated arguments by name; left out, every call needs them. `title` is what is asked,
    with the arguments by name in braces; left out, the tool's name. `sticky` tells for what else an approval
    holds, and `edit` whether the arguments may be edited. Raises `DefinitionError`.

    >>> @tool(approval=ApprovalPolicy(when=lambda order, amount: amount > 100, approvers=["ann"]))
    ... async def refund(order: str, amount: int) -> str: ...
    """

    when: When | None = None
    title: str | None = None
    approvers: tuple[str, ...] | list[str] | None = None
    requested_by: str | None = None
    quorum: int = 1
    timeout: dt.timedelta | None = None
    remind_every: dt.timedelta | None = None
    escalate_to: tuple[str, ...] | list[str] = ()
    escalate_after: dt.timedelta | None = None
    sticky: Sticky | str = Sticky.NO
    edit: bool = True

    def __post_init__(self) -> None:
        if self.when is not None and not callable(self.when):
            raise DefinitionError(f"ApprovalPolicy: when={self.when!r} takes a function of the arguments")
        if self.sticky not in list(Sticky):
            raise DefinitionError(
                f"ApprovalPolicy: sticky={self.sticky!r} is one of {', '.join(map(repr, map(str, Sticky)))}"
            )
        checked.count(self.quorum, "ApprovalPolicy: quorum", DefinitionError)

    def needed(self, arguments: Mapping[str, Any]) -> bool:
        """Tell whether these arguments need an approval."""
        return self.when is None or bool(self.when(**arguments))

    def asked(self, tool: str, arguments: Mapping[str, Any]) -> str:
        """Give the title of the approval of a call."""
        if self.title is None:
            return tool
        try:
            text = self.title.format(**arguments)
        except (KeyError, IndexError, ValueError, AttributeError):
            text = self.title
        return "".join(c if c.isprintable() else " " for c in text)[:LONGEST_TITLE] or tool


LONGEST_TITLE: Final = 500
ALWAYS: Final = ApprovalPolicy()

Approves = str | When | ApprovalPolicy | None
"""What `approval=` takes: "always", "never", a function of the arguments, or a policy."""


def policy_of(given: Approves, what: str) -> ApprovalPolicy | None:
    """Give the policy that `approval=` stands for. Raises `DefinitionError`."""
    if given is None or given == "never":
        return None
    if isinstance(given, ApprovalPolicy):
        return given
    if given == "always":
        return ALWAYS
    if callable(given):
        return ApprovalPolicy(when=given)
    raise DefinitionError(
        f'{what}: approval={given!r} takes "always", "never", a function of the arguments, or an '
        "ApprovalPolicy"
    )
