"""What is known of an attempt: the three outcomes, and the classes of effects."""

from __future__ import annotations

from enum import StrEnum


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
    IRREVERSIBLE = "irreversible"


class OnUnknown(StrEnum):
    """What is done about an attempt whose outcome nobody knows."""

    RETRY = "retry"
    COMPENSATE = "compensate"
