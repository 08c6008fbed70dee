"""Routes: who may call a path, what a call's body is, and what it leads to."""

from __future__ import annotations

import asyncio
import datetime as dt
import inspect
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from pydantic_core import from_json

from amends.persistence.typed_json import JsonType
from amends.sagas import checked
from amends.sagas.arguments import json_type
from amends.sagas.errors import DefinitionError, InputInvalid
from amends.sagas.step import is_async
from amends.sagas.webhooks.actions import Action
from amends.sagas.webhooks.standard import Delivery, Verify

T = TypeVar("T")

LONGEST_DELIVERY: Final = 1_000
GONE: Final = 410


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A verified call: the delivery's `id`, when it was signed, its headers, and its decoded `body`.

    `timestamp` is aware, UTC; None where the scheme signs no time. The names of `headers` are in lower case;
    most schemes don't sign them. `raw` is the body as it came.
    """

    id: str
    timestamp: dt.datetime | None
    headers: Mapping[str, str] = field(repr=False)
    body: T
    raw: bytes = field(repr=False)


class Route(Generic[T]):
    """One path of a `WebhookApp`: a call's body is decoded to `kind`, and `do` says what it leads to.

    `verify` tells whether a call is genuine and which delivery it is: `StandardWebhooks(secret)`, or a
    function that takes the headers and the body, gives a `Delivery`, and raises `SignatureInvalid`. `do`,
    `async def` or plain (then called in a thread), gets the `Call` and gives `Signal`, `SignalOrStart`,
    `Start`, or None for a call that leads to nothing. It may be called again for the same delivery and should
    give the same then. `ended` is the status that is answered when the run has ended: some senders switch off
    a webhook that answers 410, and want 200.
    Raises `DefinitionError` for what is no function, no type or no status.

    >>> Route(Payment, book, verify=StandardWebhooks(secret))
    """

    def __init__(
        self,
        kind: type[T] | Any,
        do: Callable[[Call[T]], Action | Awaitable[Action | None] | None],
        *,
        verify: Verify,
        ended: int = GONE,
    ) -> None:
        self._json: JsonType[T] = json_type(kind, "Route: the body's type")
        checked.returning(do, "Route: what a call leads to")
        if isinstance(verify, type) or not callable(verify):
            raise DefinitionError(
                f"Route: verify={verify!r} must be StandardWebhooks(secret) or a function: an unsigned call "
                "could be anybody's"
            )
        if checked.count(ended, "Route: ended", DefinitionError) not in range(200, 500):
            raise DefinitionError(f"Route: ended={ended} must be a status from 200 to 499, such as 410")
        self._do = do
        self._verify = verify
        self.ended = ended

    def verified(self, headers: Mapping[str, str], body: bytes) -> Call[T]:
        """Give the call. Raises `SignatureInvalid`, and `InputInvalid` for a body that doesn't fit."""
        delivery = self._verify(headers, body)
        if not isinstance(delivery, Delivery):
            raise TypeError(f"verify= gives a Delivery or raises SignatureInvalid; it gave {delivery!r}")
        check_delivery(delivery.id)
        try:
            parsed(body)
            value = self._json.decode(body)
        except ValueError as problem:
            raise InputInvalid(f"the body doesn't fit: {problem}") from problem
        return Call(delivery.id, delivery.at, headers, value, body)

    async def action(self, call: Call[T]) -> Action | None:
        """Ask the route's function what the call leads to."""
        made = self._do(call) if is_async(self._do) else await asyncio.to_thread(self._do, call)
        return await made if inspect.isawaitable(made) else made


def parsed(body: bytes) -> Any:
    """Parse strict JSON: no NaN, no bytes that aren't UTF-8, nothing too deep. Raises `ValueError`."""
    value = from_json(body, allow_inf_nan=False)
    # A number such as 1e999 has become an infinity all the same, which this refuses.
    json.dumps(value, allow_nan=False)
    return value


def check_delivery(id: object) -> None:
    """Check the id of a delivery. Raises `InputInvalid`."""
    if not isinstance(id, str) or not 0 < len(id) <= LONGEST_DELIVERY or not id.isprintable():
        raise InputInvalid(f"a delivery's id is a printable text of 1 to {LONGEST_DELIVERY} characters")
