"""Which calls of a tool people have to approve, and how they are asked (A7, A10)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from amends.agents.approval_checks import check_predicate, people
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
    holds, and `edit` whether the arguments may be edited. Raises `DefinitionError` for options that mean
    nothing: here, and for a `when` that the tool's arguments don't fit, where the tool is defined.

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
        if self.when is not None:
            check_predicate(self.when, "ApprovalPolicy: when")
        if self.sticky not in list(Sticky):
            raise DefinitionError(
                f"ApprovalPolicy: sticky={self.sticky!r} is one of {', '.join(map(repr, map(str, Sticky)))}"
            )
        checked.count(self.quorum, "ApprovalPolicy: quorum", DefinitionError)
        for option in ("timeout", "remind_every", "escalate_after"):
            if (given := getattr(self, option)) is not None:
                checked.duration(given, f"ApprovalPolicy: {option}", DefinitionError)
        self._check_people()

    def _check_people(self) -> None:
        for option in ("approvers", "escalate_to"):
            if (given := getattr(self, option)) is not None:
                object.__setattr__(self, option, people(given, option))
        if self.approvers is not None and not self.approvers:
            raise DefinitionError("ApprovalPolicy: approvers= names nobody; leave it out if anybody may")
        if not self.escalate_to and self.escalate_after is not None:
            raise DefinitionError("ApprovalPolicy: escalate_after= says when, and escalate_to= not to whom")
        if self.escalate_to and self.escalate_after is None and self.timeout is None:
            raise DefinitionError("ApprovalPolicy: escalate_to= needs escalate_after= or timeout=")
        able = {*(self.approvers or ()), *self.escalate_to} - {self.requested_by}
        if self.approvers is not None and len(able) < self.quorum:
            raise DefinitionError(
                f"ApprovalPolicy: {self.quorum} people have to approve, and only {len(able)} may"
            )

    def needed(self, arguments: Mapping[str, Any]) -> bool:
        """Tell whether these arguments need an approval."""
        return self.when is None or bool(self.when(**arguments))

    def asked(self, tool: str, arguments: Mapping[str, Any]) -> str:
        """Give the title of the approval of a call."""
        if self.title is None:
            return tool
        try:
            text = self.title.format(**arguments)
        except (LookupError, ValueError, AttributeError, TypeError):
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
        check_predicate(given, f"{what}: approval")
        return ApprovalPolicy(when=given)
    raise DefinitionError(
        f'{what}: approval={given!r} takes "always", "never", a function of the arguments, or an '
        "ApprovalPolicy"
    )
