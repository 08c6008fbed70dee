"""What a body asks for, numbered in the order of asking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amends.sagas.request import Request
from amends.sagas.saga import Saga
from amends.sagas.step import Step

Called = Step[..., Any] | Saga[..., Any]


@dataclass(frozen=True, slots=True)
class Command:
    """A step or child run."""

    ref: int
    step: Called
    arguments: bytes
    scopes: tuple[int, ...] = ()
    no_pivot: str | None = None


@dataclass(frozen=True, slots=True)
class RollBack:
    """The undoing of a savepoint; its number is that of the savepoint's beginning."""

    ref: int


@dataclass(frozen=True, slots=True)
class StartOver:
    """The new beginning with new input."""

    ref: int
    arguments: bytes


@dataclass(frozen=True, slots=True)
class AskPeople:
    """An approval."""

    ref: int
    request: Request


Issued = Command | RollBack | StartOver | AskPeople
