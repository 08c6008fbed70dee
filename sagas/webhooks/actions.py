"""What a webhook's call leads to, and carrying it out: once for each delivery."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVarTuple

from amends.sagas.coordinator import Coordinator
from amends.sagas.errors import StartConflict
from amends.sagas.new_runs import LONGEST_ID
from amends.sagas.signalling import LONGEST_MESSAGE_ID

Ts = TypeVarTuple("Ts")

SHOWN: Final = 100
"""So many characters stay readable of an identity that is too long."""


@dataclass(frozen=True, slots=True)
class Signal:
    """Send a run a signal; as `Coordinator.signal`, with a message id made from the delivery's."""

    run_id: str
    name: str
    payload: Any = None


class Start(Generic[*Ts]):
    """Start a run; as `Coordinator.start`. Without an `id` the run's is made from the delivery's."""

    __slots__ = ("args", "id", "saga")

    def __init__(self, saga: Callable[[*Ts], Awaitable[Any]], *args: *Ts, id: str | None = None) -> None:
        self.saga = saga
        self.args = args
        self.id = id


class SignalOrStart(Generic[*Ts]):
    """Send a run a signal, and start it where there is none; as `Coordinator.signal_or_start`."""

    __slots__ = ("args", "id", "name", "payload", "saga")

    def __init__(
        self,
        saga: Callable[[*Ts], Awaitable[Any]],
        *args: *Ts,
        id: str,
        name: str,
        payload: Any = None,
    ) -> None:
        self.saga = saga
        self.args = args
        self.id = id
        self.name = name
        self.payload = payload


Action = Signal | Start[*tuple[Any, ...]] | SignalOrStart[*tuple[Any, ...]]


async def carry_out(coordinator: Coordinator, action: Action | None, delivery: str) -> None:
    """Do what a call leads to, once for this delivery; returns after the commit.

    Raises what the coordinator's methods raise.
    """
    message = identity(delivery, LONGEST_MESSAGE_ID)
    if isinstance(action, Signal):
        await coordinator.signal(action.run_id, action.name, action.payload, message_id=message)
    elif isinstance(action, SignalOrStart):
        await coordinator.signal_or_start(
            action.saga,
            *action.args,
            id=action.id,
            name=action.name,
            payload=action.payload,
            message_id=message,
        )
    elif isinstance(action, Start):
        await _start(coordinator, action, delivery)
    elif action is not None:
        raise TypeError(f"a route's function gives Signal, SignalOrStart, Start or None, not {action!r}")


async def _start(coordinator: Coordinator, action: Start[*tuple[Any, ...]], delivery: str) -> None:
    if action.id is not None:
        await coordinator.start(action.saga, *action.args, id=action.id)
        return
    try:
        await coordinator.start(action.saga, *action.args, id=identity(delivery, LONGEST_ID))
    except StartConflict:
        # The id is this delivery's own: it was taken before, and told the function something else.
        return


def identity(text: str, most: int) -> str:
    """Give a text that stands for this one alone and has at most so many characters."""
    if len(text) <= most:
        return text
    return f"{text[:SHOWN]}#{hashlib.sha256(text.encode()).hexdigest()}"
