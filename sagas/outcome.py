"""What is known of an attempt: the three outcomes, and the classes of effects."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

R = TypeVar("R")


class Outcome(StrEnum):
    """What is known of an effect: it is in the world, it isn't (there is evidence), or nobody knows."""

    LANDED = "landed"
    NOT_LANDED = "not_landed"
    UNKNOWN = "unknown"


class Effect(StrEnum):
    """What a step does to the world."""

    READ = "read"
    COMPENSATABLE = "compensatable"
    PLAIN = "plain"
    PIVOT = "pivot"
    RETRIABLE = "retriable"
    IRREVERSIBLE = "irreversible"
    CHILD = "child"
    """Not a step's: a saga awaited in a saga. What it does is in the child run's own journal."""


class OnUnknown(StrEnum):
    """What is done about an attempt whose outcome nobody knows."""

    RETRY = "retry"
    COMPENSATE = "compensate"
    PARK = "park"
    PROBE = "probe"


@dataclass(frozen=True, slots=True)
class Landed(Generic[R]):
    """What a probe answers when it finds the effect; `result` is what the step would have returned."""

    result: R


@dataclass(frozen=True, slots=True)
class NotLanded:
    """What a probe answers when it finds that the effect isn't in the world, and will not be."""

    evidence: str = ""
