"""What a body asks for, numbered in the order of asking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amends.sagas.places import NOWHERE, InQueue
from amends.sagas.request import Request
from amends.sagas.saga import Saga
from amends.sagas.step import Step

Called = Step[..., Any] | Saga[..., Any]


@dataclass(frozen=True, slots=True)
class Command:
    """A step or child run; `place` is where a child run waits."""

    ref: int
    step: Called
    arguments: bytes
    scopes: tuple[int, ...] = ()
    no_pivot: str | None = None
    place: InQueue = NOWHERE


@dataclass(frozen=True, slots=True)
class RollBack:
    """The undoing of a savepoint; its number is that of the savepoint's beginning."""

    ref: int


@dataclass(frozen=True, slots=True)
class StartOver:
    """The new beginning with new input; `kept` is what the body keeps for itself."""

    ref: int
    arguments: bytes
    kept: bytes = b""


@dataclass(frozen=True, slots=True)
class AskPeople:
    """An approval."""

    ref: int
    request: Request


Issued = Command | RollBack | StartOver | AskPeople
